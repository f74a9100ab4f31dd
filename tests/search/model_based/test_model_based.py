"""Model-based search against its parts: the design, the lies, the kappas, what it keeps and what it finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest, norm

from nestedga.errors import SettingError
from nestedga.population.genes import CategoricalGene, FloatGene, IntGene, OrdinalGene
from nestedga.population.member import Evaluation, Member, Status
from nestedga.population.space import Space
from nestedga.search.model_based import model_based
from nestedga.search.model_based.model_based import ModelBased
from nestedga.search.model_based.surrogate import Forest
from nestedga.search.sampling.design import unit_points
from tests.search.searches import SPACE, evaluate, run

LIKELY = 0.001  # a test whose figure is unlikelier than this is red; the seeds are fixed
LINE = Space((FloatGene("x", 0.0, 1.0),))


def build(space=SPACE, **settings):
    return ModelBased(space, **{"seed": 0, "budget": 1, "evaluations": 60, "trees": 5, "candidates": 100, **settings})


def told(search, foms):
    """Tells the next members these figures, NaN for failed ones; gives the search."""
    for fom in foms:
        (member,) = search.ask(1)
        search.tell(Evaluation(member.id, fom, Status.FAILED if math.isnan(fom) else Status.OK))
    return search


@pytest.fixture
def fits(monkeypatch):
    """Counts forests that are grown."""
    grown = []
    monkeypatch.setattr(model_based, "Forest", lambda *args: grown.append(args) or Forest(*args))
    return grown


def test_the_first_members_are_the_design():
    members = run(build(population_size=3, initial="latin_hypercube"))
    points = unit_points("latin_hypercube", 0, 2 * len(SPACE) + 1, len(SPACE))
    assert [member.genotype for member in members[: len(points)]] == [SPACE.from_unit(point) for point in points]


@pytest.mark.parametrize(
    ("settings", "num"), [({}, 13), ({"population_size": 40}, 40), ({"evaluations": 9}, 9), ({"initial_points": 5}, 5)]
)
def test_how_many_are_of_the_design(settings, num):
    assert len(build(**settings)._design) == num


def test_it_learns_when_asked_and_only_then(fits):
    search = build()
    journal = [Member(i, i % 4, 0, SPACE.sample(np.random.default_rng(i)), (), (), 1) for i in range(40)]
    for member in journal:
        search.adopt(member)
        search.tell(evaluate(member))
    assert not fits
    search.ask(4)
    assert len(fits) == 1, "one forest serves all who ask before somebody tells"
    search.ask(1)
    assert len(fits) == 1


def test_who_failed_is_taken_for_the_worst_or_ignored():
    foms = [3.0, math.nan, 1.0, 2.0, math.nan]
    worst = told(build(initial_points=5), foms)._teach()
    np.testing.assert_allclose(worst.targets, norm.ppf([0.5, 0.1, 0.3, 0.8, 0.8]))
    ignored = told(build(initial_points=5, failed="ignored"), foms)._teach()
    np.testing.assert_allclose(ignored.targets, norm.ppf([5 / 6, 1 / 6, 3 / 6]))


@pytest.mark.parametrize("liar", ["min", "mean", "max", "predicted", "none", "qlcb"])
def test_lies_about_points_in_flight(liar):
    search = told(build(initial_points=8, liar=liar), [float(i) for i in range(20)])
    taught, flying = search._teach(), np.array([SPACE.to_unit(member.genotype) for member in search.ask(3)])
    lies = search._lies(taught, flying)
    if liar in ("none", "qlcb"):
        assert lies is None
    elif liar == "predicted":
        np.testing.assert_array_equal(lies[1], taught.forest.predict(lies[0])[0])
    else:
        lie = {"min": norm.ppf(1 / 40), "mean": 0.0, "max": norm.ppf(39 / 40)}[liar]
        np.testing.assert_allclose(lies[1], lie, atol=1e-12)
    assert lies is None or len(lies[1]) == 3


def test_qlcb_draws_kappa_from_an_exponential_distribution(monkeypatch):
    kappas = []

    def spy(mean, deviation, kappa):
        kappas.append(kappa)
        return kappa * deviation - mean

    monkeypatch.setattr(model_based, "lower_confidence_bound", spy)
    told(build(initial_points=10, liar="qlcb", kappa=2.5, evaluations=400, candidates=10), range(10)).ask(390)
    drawn = kappas[::2]  # once for the candidates, once for those refined
    assert len(set(drawn)) == 390
    assert kstest(drawn, "expon", args=(0.0, 2.5)).pvalue > LIKELY
    kappas.clear()
    told(build(initial_points=10), range(10)).ask(5)
    assert set(kappas) == {1.96}


def test_a_point_in_flight_keeps_others_away():
    """With the dip at 0.5 in flight and taken for the worst, the next ones go elsewhere."""

    def nearest(liar):
        search = build(LINE, initial_points=32, evaluations=64, liar=liar, kappa=0.0, trees=20)
        for member in search.ask(32):
            search.tell(Evaluation(member.id, abs(member.genotype["x"] - 0.5)))
        return np.median([abs(member.genotype["x"] - 0.5) for member in search.ask(20)])

    assert nearest("none") < 0.05 < nearest("max")


def test_nothing_is_evaluated_twice_before_everything_is_once():
    space = Space((CategoricalGene("a", ("x", "y", "z")), OrdinalGene("b", (1, 2)), IntGene("c", 1, 3)))
    members = run(
        build(space, evaluations=20, candidates=1000), groups=3, evaluate=lambda m, fails: Evaluation(m.id, 1.0)
    )
    design, learned = members[:7], members[7:]
    seen = {tuple(member.genotype.values()) for member in design}
    for member in learned[: 18 - len(seen)]:
        assert tuple(member.genotype.values()) not in seen
        seen.add(tuple(member.genotype.values()))
    assert len(seen) == 18


def test_it_learns_from_the_newest_and_the_best():
    search = build(LINE, initial_points=100, evaluations=200, max_points=10)
    foms = np.random.default_rng(0).permutation(100).astype(float)
    told(search, foms)
    assert len(search._known) < 20, "what is not learned from is forgotten"
    kept = [evaluation.fom for _, evaluation in search._kept()]
    assert kept[5:] == foms[95:].tolist()
    assert sorted(kept[:5]) == sorted(foms[:95])[:5]


def test_failed_ones_are_not_among_the_best():
    search = told(build(LINE, initial_points=40, max_points=10), [math.nan] * 20 + [1.0, 2.0] + [math.nan] * 15)
    assert [evaluation.fom for _, evaluation in search._kept()][:2] == [1.0, 2.0]
    assert search.ask(1)


def test_hedge_pays_who_nominated():
    search = told(build(initial_points=10, acquisition="hedge", evaluations=60), range(10))
    (member,) = search.ask(1)
    nominator, probability = search._nominated[member.id]
    assert probability == pytest.approx(1 / 3)
    search.tell(Evaluation(member.id, 2.5))  # better than 7 of the 10
    earned = search._portfolio._log_weights[model_based.PORTFOLIO.index(nominator)]
    assert earned == pytest.approx(search._portfolio._gamma * 0.7)
    (member,) = search.ask(1)
    search.tell(Evaluation(member.id, math.nan, Status.FAILED))
    assert search._portfolio._log_weights.sum() == pytest.approx(earned)


def test_several_objectives_are_learned_by_their_order():
    def evaluate(member, fails):
        x = member.genotype["x"]
        return Evaluation(member.id, x**2, objectives=(x**2, (x - 0.4) ** 2))

    members = run(build(LINE), evaluate=evaluate)
    assert np.mean([member.genotype["x"] <= 0.41 for member in members[30:]]) > 0.7  # where the front is


@pytest.mark.parametrize("settings", [{}, {"acquisition": "ei"}, {"acquisition": "hedge"}, {"surrogate": "forest"}])
def test_beats_random_by_far_on_a_conditional_problem(settings):
    """The optimum lies in one branch of three, and the others are local optima."""
    space = Space(
        (
            CategoricalGene("optimiser", ("sgd", "adam", "lion")),
            FloatGene("lr", 1e-5, 1.0, log=True),
            FloatGene("beta", 0.0, 1.0),
            IntGene("width", 1, 64, log=True),
        ),
        {"beta": (("optimiser", ("adam",)),)},
    )

    def fom(genotype):
        branch = 2.0 * (genotype["beta"] - 0.3) ** 2 if "beta" in genotype else 0.3
        return branch + 0.1 * (math.log10(genotype["lr"]) + 3) ** 2 + 0.1 * (math.log2(genotype["width"]) - 4) ** 2

    best, random = [], []
    for seed in range(5):
        search = build(space, seed=seed, evaluations=100, trees=10, candidates=1000, **settings)
        members = run(search, evaluate=lambda member, fails: Evaluation(member.id, fom(member.genotype)))
        best.append(min(fom(member.genotype) for member in members))
        rng = np.random.default_rng(seed)
        random.append(min(fom(space.sample(rng)) for _ in range(100)))
        assert all(member.weights_parents == member.hyper_parents == () for member in members)
    assert np.median(best) < 0.3 * np.median(random)


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("initial_points", 61, "from 1 to evaluations = 60"),
        ("initial_points", 0, "from 1 to evaluations = 60"),
        ("initial", "grid", "known: random, latin_hypercube, sobol"),
        ("surrogate", "gp", "known: extra_trees, forest"),
        ("acquisition", "ucb", "known: lcb, ei, pi, hedge"),
        ("liar", "median", "known: min, mean, max, predicted, none, qlcb"),
        ("failed", "forgiven", "known: worst, ignored"),
        ("kappa", -1.0, "0 or more"),
        ("trees", 0, "1 or more"),
        ("candidates", 3, "10 or more"),
        ("max_points", 3, "10 or more"),
    ],
)
def test_bad_settings_are_named(setting, value, complaint):
    with pytest.raises(SettingError, match=f"search.{setting}={value!r} .*{complaint}"):
        build(**{setting: value})


def test_kappas_are_drawn_for_the_lower_confidence_bound_only():
    with pytest.raises(SettingError, match=r"search.liar='qlcb' .*acquisition=ei"):
        build(liar="qlcb", acquisition="ei")


def test_an_immigrant_is_one_more_known_point_at_once():
    search = build(LINE, kappa=0.0, initial_points=8)
    told(search, [1.0] * 10)
    search.ask(1)  # so that there is a forest
    search.immigrate(Member(-1, 0, 0, {"x": 0.123}, (), (), 1), Evaluation(-1, -100.0))
    near = [abs(member.genotype["x"] - 0.123) for member in search.ask(5)]
    assert 0.0 < np.median(near) < 0.1
