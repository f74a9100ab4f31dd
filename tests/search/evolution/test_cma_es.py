"""CMA-ES against the package's own loop and its papers."""

from __future__ import annotations

import math

import cmaes
import numpy as np
import pytest

from nestedga.errors import SettingError
from nestedga.population.genes import CategoricalGene, FloatGene, IntGene, OrdinalGene
from nestedga.population.member import Evaluation, Member, Status
from nestedga.population.space import Space
from nestedga.search.base import rng_for
from nestedga.search.evolution.cma_es import CmaEs
from tests.search.searches import ORDERED, REALS, SPACE

PLANE = Space((FloatGene("x", 0.0, 1.0), FloatGene("y", 0.0, 1.0)))
MIXED = Space((FloatGene("x", 0.0, 1.0), IntGene("k", 0, 9), OrdinalGene("o", ("a", "b", "c"))))


def make(space, **settings):
    return CmaEs(space, **{"seed": 0, "budget": 1, "evaluations": 400, **settings})


def distance(genotype):
    """A bowl with its minimum at x=0.3, y=0.6, k=7, o=b."""
    best, scale = {"x": 0.3, "y": 0.6, "k": 7}, {"k": 0.1}
    smooth = sum((scale.get(path, 1.0) * (genotype[path] - best[path])) ** 2 for path in genotype if path in best)
    return smooth + (genotype.get("o", "b") != "b")


def drive(search, num_members, *, groups=1, fom=distance, fails=frozenset()):
    """Asks and tells with some members out at a time, in a shuffled order; gives what was said."""
    rng = np.random.default_rng(0)
    said, flying = [], []
    for _ in range(num_members):
        asked = search.ask(groups - len(flying))
        said += asked
        flying += asked
        member = flying.pop(rng.integers(len(flying)))
        failed = member.id in fails
        said.append(Evaluation(member.id, fom(member.genotype), Status.FAILED if failed else Status.OK))
        search.tell(said[-1])
    return said


def test_one_group_gives_the_points_of_the_packages_own_loop():
    steps = np.array([0.1, 1 / 3, 0.0])  # k, o, x: in the order of the paths
    theirs = cmaes.CMAwM(
        mean=np.full(3, 0.5), sigma=0.3, bounds=np.stack([steps / 2, 1 - steps / 2], 1), steps=steps, population_size=7
    )
    ours = make(MIXED)
    for generation in range(20):
        solutions = []
        for member_id in range(7 * generation, 7 * generation + 7):
            theirs.reseed_rng(int(rng_for(0, member_id).integers(2**32)))
            for_evaluation, for_tell = theirs.ask()
            member = ours.ask(1)[0]
            assert MIXED.to_unit(member.genotype) == pytest.approx(for_evaluation, abs=1e-9)
            fom = distance(member.genotype)
            solutions.append((for_tell, fom))
            ours.tell(Evaluation(member.id, fom))
        theirs.tell(solutions)


def test_without_rounded_genes_it_is_plain_cma_es():
    theirs = cmaes.CMA(mean=np.full(2, 0.5), sigma=0.3, bounds=np.array([[0, 1], [0, 1]]), population_size=6)
    ours = make(PLANE)
    for generation in range(20):
        solutions = []
        for member_id in range(6 * generation, 6 * generation + 6):
            theirs.reseed_rng(int(rng_for(0, member_id).integers(2**32)))
            x = theirs.ask()
            member = ours.ask(1)[0]
            assert PLANE.to_unit(member.genotype) == pytest.approx(x, abs=1e-9)
            solutions.append((x, distance(member.genotype)))
            ours.tell(Evaluation(member.id, distance(member.genotype)))
        theirs.tell(solutions)


@pytest.mark.parametrize(("d", "popsize"), [(1, 4), (2, 6), (5, 8), (20, 12)])  # 4 + floor(3 ln d)
def test_popsize_is_the_tutorials(d, popsize):
    search = make(Space(tuple(FloatGene(f"x{i:02}", 0.0, 1.0) for i in range(d))))
    first = drive(search, popsize)[::2]
    redrawn = make(search.space).ask(popsize + 1)
    assert [member.genotype for member in first] == [member.genotype for member in redrawn[:popsize]]
    assert search.ask(1)[0].genotype != redrawn[popsize].genotype  # the update has happened, and not before


@pytest.mark.parametrize("seed", range(3))
def test_a_rounded_gene_keeps_trying_its_neighbours(seed):
    """Hamano et al. 2022, section 3: at least 1 / (d popsize) leaves the value where the distribution has settled."""
    search = make(MIXED, seed=seed, evaluations=1500)
    said = drive(search, 1500, fom=lambda genotype: abs(genotype["k"] - 7) + (genotype["x"] - 0.3) ** 2)
    late = [said.genotype["k"] for said in said[1000:] if isinstance(said, Member)]
    left = np.mean([k != 7 for k in late])
    assert 0.5 / (3 * 7) < left < 0.3


def test_an_evaluation_that_failed_counts_as_the_worst():
    third = make(PLANE, popsize=6).ask(3)[2].genotype
    failing, bad = make(PLANE, popsize=6), make(PLANE, popsize=6)
    drive(failing, 6, fails={2})
    drive(bad, 6, fom=lambda genotype: 9.0 if genotype == third else distance(genotype))
    assert failing.ask(3) == bad.ask(3)


def test_a_generation_of_failures_teaches_nothing():
    search = make(PLANE, popsize=6)
    drive(search, 6, fails=set(range(6)))
    assert search.ask(1) == make(PLANE, popsize=6).ask(7)[6:]


@pytest.mark.parametrize("space", [PLANE, MIXED], ids=["reals", "mixed"])
@pytest.mark.parametrize("fom", [distance, lambda genotype: 1.0], ids=["bowl", "flat"])
@pytest.mark.parametrize("cut", [100, 333, 700])
def test_a_long_history_with_restarts_is_taken_up_exactly(space, fom, cut):
    first, second = (make(space, evaluations=5000) for _ in range(2))
    said = drive(first, cut, groups=9, fom=fom)
    for what in said:
        second.adopt(what) if isinstance(what, Member) else second.tell(what)
    assert first.ask(20) == second.ask(20)
    assert fom is distance or cut < 700 or first._num_restarts > 0


def test_a_restart_doubles_the_popsize_and_begins_elsewhere():
    search = make(PLANE, evaluations=5000)
    drive(search, 119, fom=lambda genotype: 1.0)  # 6 a generation; flat for 10 + 30 d / popsize = 20 of them
    assert (search._num_restarts, search._optimiser.population_size) == (0, 6)
    out = search.ask(5)
    drive(search, 12, fom=lambda genotype: 1.0)
    assert (search._num_restarts, search._optimiser.population_size) == (1, 12)
    assert not np.allclose(search._optimiser.mean, 0.5)
    told = len(search._told)
    search.tell(Evaluation(out[0].id, 0.0))  # drawn from the distribution before
    assert len(search._told) == told


def test_whole_numbers_on_a_log_scale_are_found():
    space = Space((IntGene("k", 1, 1024, log=True), FloatGene("x", 0.0, 1.0)))
    said = drive(make(space, evaluations=200), 200, fom=lambda g: abs(math.log(g["k"] / 100)) + (g["x"] - 0.2) ** 2)
    assert min(abs(what.genotype["k"] - 100) for what in said if isinstance(what, Member)) <= 2


@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        (SPACE, {}, "order; space.model.skip has none"),
        (
            Space((FloatGene("x", 0.0, 1.0), IntGene("k", 0, 1)), {"x": (("k", (1,)),)}),
            {},
            "always active; space.x is not",
        ),
        (Space((OrdinalGene("o", ("a",)),)), {}, "no gene that can vary"),
        (REALS, {"popsize": 3}, "search.popsize=3 .* 4 or more"),
        (REALS, {"evaluations": 5}, "search.evaluations=5 is not one update of popsize=6"),
        (REALS, {"initial_deviation": 0.0}, "search.initial_deviation=0.0"),
        (ORDERED, {"growth": 0.5}, "search.growth=0.5"),
        (Space((CategoricalGene("c", ("a", "b")),)), {}, "another search, as genetic"),
    ],
)
def test_what_it_cannot_do_is_said_at_start(space, settings, message):
    with pytest.raises(SettingError, match=message) as caught:
        make(space, **settings)
    assert "\n" not in str(caught.value)
