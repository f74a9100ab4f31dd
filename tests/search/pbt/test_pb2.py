"""Population based bandits against their paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nestedga.errors import SettingError
from nestedga.population.genes import CategoricalGene, FloatGene
from nestedga.population.member import Evaluation, Status
from nestedga.population.space import Space
from nestedga.search.pbt.pb2 import C1, C2, PB2, TimeVarying, improvements
from tests.search.searches import SPACE

LINE = Space((FloatGene("x", 0.0, 1.0),))


def make(space=LINE, **settings):
    return PB2(space, **{"seed": 0, "budget": 1, "population_size": 8, "generations": 12, **settings})


def train(search, improvement, generations, fails=(), foms=None):
    """Lets weights carry the figure of merit: each interval lowers the parent's by what the genes are worth."""
    foms = {} if foms is None else foms
    for _ in range(generations):
        for member in search.ask(search.population_size):
            before = foms[member.weights_parents[0]] if member.weights_parents else 0.0
            foms[member.id] = before - improvement(member)
            failed = Evaluation(member.id, math.nan, Status.FAILED)
            search.tell(failed if member.id in fails else Evaluation(member.id, foms[member.id]))


def explored(search):
    """The next generation's members that copied another."""
    return [m for m in search.ask(search.population_size) if m.weights_parents[0] % search.population_size != m.slot]


def near(best):
    return lambda member: 1.0 - 4.0 * (member.genotype["x"] - best) ** 2


def test_kernel_is_the_papers():
    a, b = np.array([[3.0, 0.2, 0.9]]), np.array([[7.0, 0.5, 0.4]])
    variance, length, epsilon = 1.7, 0.3, 0.15
    log = np.log([variance, length, -math.log(1.0 - epsilon)])
    expected = variance * math.exp(-(0.3**2 + 0.5**2) / (2 * length**2)) * (1.0 - epsilon) ** (4.0 / 2.0)
    assert TimeVarying().covariance(log, a, b)[0, 0] == pytest.approx(expected)


def test_data_are_improvements_over_the_parent_with_time_and_genes():
    search = make(population_size=4, copy="both")
    train(search, near(0.5), 1)
    assert not search._data
    members = {member.id: member for member in search.ask(4)}
    for member in members.values():
        search.tell(Evaluation(member.id, 10.0 + member.id))
    firsts = [-near(0.5)(member) for member in make(population_size=4).ask(4)]
    for ((t, x), y), member in zip(search._data, members.values(), strict=True):
        assert (t, x) == (1.0, pytest.approx(member.genotype["x"]))
        assert y == pytest.approx(firsts[member.weights_parents[0]] - (10.0 + member.id))


def test_failed_intervals_teach_nothing():
    search = make()
    train(search, near(0.5), 3, fails={9, 18})
    assert len(search._data) == 2 * 8 - 2


def test_it_remembers_only_the_latest():
    search = make(max_points=5)
    train(search, near(0.5), 4)
    assert [point[0] for point, _ in search._data] == [3.0] * 5


def test_explored_genes_maximise_the_upper_confidence_bound():
    search = make(truncation=0.125)  # one slot explores
    train(search, near(0.7), 4)
    (child,) = explored(search)
    others = [m for m in search._asked.values() if m.slot < child.slot]
    pending = np.array([[4.0, m.genotype["x"]] for m in others]).reshape(-1, 2)
    model = improvements(list(search._data)).fit(20).condition(pending)
    grid = np.column_stack([np.full(2001, 4.0), np.linspace(0.0, 1.0, 2001)])
    beta = C1 + max(0.0, math.log(C2 * len(search._data)))
    mean, deviation = model.predict(grid)
    best = (-mean + math.sqrt(beta) * deviation).max()
    mean, deviation = model.predict(np.array([[4.0, child.genotype["x"]]]))
    assert -mean[0] + math.sqrt(beta) * deviation[0] == pytest.approx(best, abs=1e-4)


def test_it_follows_an_optimum_that_moves():
    search, foms = make(generations=30), {}
    train(search, near(0.2), 8, foms=foms)
    train(search, near(0.8), 12, foms=foms)
    assert np.mean([abs(member.genotype["x"] - 0.8) for member in explored(search)]) < 0.15


def test_the_model_knows_the_slots_of_its_generation_that_have_their_genes(monkeypatch):
    seen = []

    def promising(search, rng, pending):
        seen.append(pending.tolist())
        return np.array([0.5])

    monkeypatch.setattr(PB2, "_promising", promising)
    search = make(truncation=0.5)
    train(search, near(0.7), 2)
    del seen[:]
    members = search.ask(8)
    chosen = [member.slot for member in members if member.weights_parents[0] % 8 != member.slot]
    assert seen == [[[2.0, m.genotype["x"]] for m in members[:slot]] for slot in chosen]


def test_genes_that_the_model_does_not_learn_are_explored_as_in_pbt():
    space = Space((FloatGene("x", 0.0, 1.0), CategoricalGene("kind", ("a", "b")), FloatGene("kept", 0.0, 1.0)))
    search = make(space, explore_genes={"kept": "keep"}, truncation=0.5, population_size=20)
    train(search, near(0.7), 3)
    children = explored(search)
    donors = {member.id: member for member, _ in search._ranked}
    donor = [donors[child.weights_parents[0]].genotype for child in children]
    assert all(child.genotype["kept"] == d["kept"] for child, d in zip(children, donor, strict=True))
    assert any(child.genotype["kind"] != d["kind"] for child, d in zip(children, donor, strict=True))
    assert all(child.genotype["x"] != d["x"] for child, d in zip(children, donor, strict=True))


def test_nothing_to_learn_and_nothing_remembered_are_refused():
    with pytest.raises(SettingError, match="pb2 needs a gene that is a number"):
        make(Space((CategoricalGene("kind", ("a", "b")),)))
    with pytest.raises(SettingError, match="search.max_points=1"):
        make(SPACE, max_points=1)
