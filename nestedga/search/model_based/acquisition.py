"""What a point promises, from what a model expects there and how unsure it is; figures of merit are minimised.

Every function takes ``mean`` and ``deviation`` of the model at some points, shape (n,), and gives back what they
promise, shape (n,): larger is better.

Which of them to follow may be learned, Hoffman et al. 2011, "Portfolio Allocation for Bayesian Optimization"
(arXiv:1009.5419). Their Hedge lets every acquisition nominate a point each time and rewards all of them, also for
points that nobody evaluates and no journal names. So that a search remains a function of its history, only evaluated
nominees earn here: Exp3, Auer et al. 2002, "The Nonstochastic Multiarmed Bandit Problem"
(doi:10.1137/S0097539701398375), Figure 1:

    p_i = (1 - gamma) w_i / sum(w) + gamma / K
    w_i = w_i exp(gamma r / (K p_i)) for the nominator i of an evaluated point with reward r in [0, 1]
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

SURE = 1e-12  # a smaller deviation is rounding; the model is sure


def lower_confidence_bound(mean: Floats, deviation: Floats, kappa: float) -> Floats:
    """``-(mean - kappa * deviation)``, Cox and John 1992 (doi:10.1109/ICSMC.1992.271617)."""
    return kappa * deviation - mean


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """``E[max(best - y, 0)]`` for normal y, Jones et al. 1998 (doi:10.1023/A:1008306431147), eq. 15."""
    sure, gain = np.maximum(deviation, SURE), best - mean
    with np.errstate(under="ignore"):
        density = np.exp(-0.5 * (gain / sure) ** 2) / math.sqrt(2.0 * math.pi)
    return np.asarray(gain * ndtr(gain / sure) + sure * density)


def probability_of_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """``P(y < best)`` for normal y, Kushner 1964 (doi:10.1115/1.3653121)."""
    return np.asarray(ndtr((best - mean) / np.maximum(deviation, SURE)))


class Portfolio:
    """Exp3 over acquisitions.

    Args:
        names: of the acquisitions.
        num_rewards: how many are to come at most; gamma is chosen for it (Auer et al. 2002, Corollary 3.2).
    """

    def __init__(self, names: tuple[str, ...], num_rewards: int) -> None:
        self._names = names
        num = len(names)
        self._gamma = min(1.0, math.sqrt(num * math.log(num) / ((math.e - 1.0) * num_rewards)))
        self._log_weights = np.zeros(num)

    def probabilities(self) -> Floats:
        """Of nominating the next point, shape (len(names),)."""
        weights = np.exp(self._log_weights - self._log_weights.max())
        return np.asarray((1.0 - self._gamma) * weights / weights.sum() + self._gamma / len(self._names))

    def nominator(self, rng: np.random.Generator) -> tuple[str, float]:
        """The acquisition that nominates the next point, and how probable that was."""
        probabilities = self.probabilities()
        drawn = int(rng.choice(len(self._names), p=probabilities))
        return self._names[drawn], float(probabilities[drawn])

    def earn(self, nominator: str, probability: float, reward: float) -> None:
        """Rewards a nominator, drawn with this probability, with a number in [0, 1]."""
        self._log_weights[self._names.index(nominator)] += self._gamma * reward / (len(self._names) * probability)
