"""Grids against their definition, and iterative grids against sums done by hand."""

from __future__ import annotations

import itertools
import math
import time

import pytest

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.job.plan import make_search
from nestedga.population.genes import CategoricalGene, ConstantGene, FloatGene, IntGene, OrdinalGene
from nestedga.population.member import Evaluation, Status
from nestedga.population.space import Space
from nestedga.search.sampling.grid import Grid, IterativeGrid
from tests.search.searches import SPACE, run

LINE = Space((FloatGene("x", 0.0, 1.0),))
NESTED = Space(
    (
        CategoricalGene("a", ("off", "one", "two")),
        IntGene("b", 1, 100),
        FloatGene("c", 0.0, 1.0),
        OrdinalGene("d", (1, 2, 3)),
        CategoricalGene("e", (False, True)),
        ConstantGene("f", 7),
    ),
    {
        "b": (("a", ("one", "two")),),
        "c": (("b", (13, 14)),),  # values that thinning alone would pass over
        "d": (("a", ("two",)), ("e", (True,))),
    },
)


def genotypes(search):
    return [member.genotype for member in run(search, evaluate=lambda member, _: Evaluation(member.id, 0.0))]


def by_round(search, fom, fails=()):
    """The x of each round's members, sorted; rounds in ``fails`` fail whole."""
    rounds = []
    while not search.done:
        members = search.ask(1000)
        rounds.append(sorted(member.genotype["x"] for member in members))
        for member in members:
            failed = len(rounds) - 1 in fails
            search.tell(
                Evaluation(member.id, math.nan, Status.FAILED) if failed else Evaluation(member.id, fom(member))
            )
    return rounds


@pytest.mark.parametrize("points", [2, 3, 4])
@pytest.mark.parametrize("space", [SPACE, NESTED], ids=["space", "nested"])
def test_it_is_every_combination_less_what_is_not_active_and_none_twice(space, points):
    search = Grid(space, seed=0, budget=1, points=points)
    product = itertools.product(*([(path, value) for value in values] for path, values in search._axes().items()))
    expected = set()
    for combination in map(dict, product):
        while inactive := [path for path in combination if not space.is_active(path, combination)]:
            del combination[inactive[0]]
        expected.add(tuple(combination.items()))
    found = [tuple(genotype.items()) for genotype in genotypes(search)]
    assert len(found) == len(set(found)) == search.num_evaluations and set(found) == expected
    assert all(space.contains(dict(point)) for point in found)


def test_values_are_spread_over_the_scale_and_the_few_are_all_there():
    space = Space(
        (
            FloatGene("log", 1e-4, 1.0, log=True),
            FloatGene("x", -1.0, 1.0),
            IntGene("few", 3, 6),
            IntGene("many", 1, 64),
            OrdinalGene("size", (16, 32, 64, 128, 256, 512)),
            CategoricalGene("kind", ("a", "b")),
        )
    )
    axes = Grid(space, seed=0, budget=1, points=5)._axes()
    assert axes["log"] == pytest.approx((1e-4, 1e-3, 1e-2, 1e-1, 1.0)) and axes["x"] == (-1.0, -0.5, 0.0, 0.5, 1.0)
    assert axes["few"] == (3, 4, 5, 6) and axes["many"] == (1, 16, 32, 48, 64)
    assert axes["size"] == (16, 32, 64, 128, 256, 512) and axes["kind"] == ("a", "b")


def test_the_order_is_drawn_so_that_a_run_cut_short_has_been_everywhere():
    first = genotypes(Grid(SPACE, seed=0, budget=1, points=3))[:40]
    assert all(len({genotype[path] for genotype in first}) > 1 for path in SPACE.paths if path != "model.skip_scale")


@pytest.mark.parametrize(
    ("space", "total"),
    [
        (Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(9))), "1,953,125 points"),
        (Space(tuple(FloatGene(f"x{i:03}", 0.0, 1.0) for i in range(500))), "x 5 (x499) = "),
        (  # 2^40 ways to set the switches, each of one point
            Space(
                tuple(CategoricalGene(f"s{i}", (False, True)) for i in range(40))
                + tuple(ConstantGene(f"x{i}", 1.0) for i in range(40)),
                {f"x{i}": ((f"s{i}", (True,)),) for i in range(40)},
            ),
            "at most 2 (s0) x ",
        ),
        (  # the same below a switch of their own
            Space(
                (
                    CategoricalGene("s", (False, True)),
                    *(CategoricalGene(f"s{i}", (False, True)) for i in range(40)),
                    *(ConstantGene(f"x{i}", 1.0) for i in range(40)),
                ),
                {f"x{i}": ((f"s{i}", (True,)),) for i in range(40)} | {f"s{i}": (("s", (True,)),) for i in range(40)},
            ),
            "at most 2 (s) x 2 (s0) x ",
        ),
    ],
    ids=["nine_genes", "five_hundred_genes", "forty_switches", "switches_below_one"],
)
def test_a_grid_too_large_is_refused_at_once_with_its_sum(space, total):
    began = time.monotonic()
    with pytest.raises(SettingError, match=r"search\.points=5 makes a grid of .*above 1,000,000; use fewer") as caught:
        Grid(space, seed=0, budget=1)
    assert total in str(caught.value) and "\n" not in str(caught.value)
    assert time.monotonic() - began < 1.0


def test_all_rounds_of_an_iterative_grid_count():
    space = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(6)))
    IterativeGrid(space, seed=0, budget=1, points=9, rounds=1)
    with pytest.raises(SettingError, match=r"531,441 points, and 1 x 1 zoomed ones as large, above 1,000,000"):
        IterativeGrid(space, seed=0, budget=1, points=9, rounds=2)


def test_it_zooms_around_the_best_and_evaluates_nothing_twice():
    search = IterativeGrid(LINE, seed=0, budget=1, points=5, rounds=3, zoom=0.5)
    rounds = by_round(search, lambda member: (member.genotype["x"] - 0.3) ** 2)
    # Windows [0, 0.5] around 0.25 and [0.125, 0.375] around 0.25 again.
    assert rounds == [[0.0, 0.25, 0.5, 0.75, 1.0], [0.125, 0.375], [0.1875, 0.3125]]
    assert search.num_evaluations == 9


def test_a_window_stays_inside_and_has_its_whole_width():
    rounds = by_round(IterativeGrid(LINE, seed=0, budget=1, points=4, rounds=2, zoom=0.6), lambda m: m.genotype["x"])
    assert rounds[1] == pytest.approx([0.2, 0.4, 0.6])  # of [0, 0.6]; 0 is known


def test_several_centres():
    search = IterativeGrid(LINE, seed=0, budget=1, points=5, rounds=2, zoom=0.25, best=2)
    rounds = by_round(search, lambda member: min(abs(member.genotype["x"] - 0.25), abs(member.genotype["x"] - 0.8)))
    assert rounds[1] == [0.125, 0.1875, 0.3125, 0.375, 0.625, 0.6875, 0.8125, 0.875]


def test_it_comes_as_close_as_its_last_grid():
    space = Space(tuple(FloatGene(f"x{i}", 0.0, 1.0) for i in range(3)))
    search = IterativeGrid(space, seed=0, budget=1, points=5, rounds=6)
    optimum = (0.3217, 0.77, 0.05)

    def distance(member):
        return max(abs(x - at) for x, at in zip(member.genotype.values(), optimum, strict=True))

    members = run(search, groups=4, shuffle=0, evaluate=lambda member, _: Evaluation(member.id, distance(member)))
    spacing = 0.5**5 / 4
    assert min(map(distance, members)) <= spacing / 2 + 1e-12
    assert len(members) < 6 * 125


def test_a_round_waits_for_the_one_before():
    search = IterativeGrid(LINE, seed=0, budget=1, points=3, rounds=2)
    members = search.ask(10)
    assert len(members) == 3 and search.ask(1) == [] and not search.done and search.num_evaluations is None
    for member in members[:2]:
        search.tell(Evaluation(member.id, 0.0))
    assert search.ask(1) == [] and not search.done
    search.tell(Evaluation(members[2].id, 1.0))
    assert search.ask(1)[0].generation == 1


def test_a_round_that_fails_whole_is_followed_by_one_around_the_centres_of_before():
    def fom(member):
        return abs(member.genotype["x"] - 0.5)

    search = IterativeGrid(LINE, seed=0, budget=1, points=5, rounds=3, zoom=0.5)
    assert by_round(search, fom, fails={1})[2] == [0.4375, 0.5625]
    assert by_round(IterativeGrid(LINE, seed=0, budget=1, points=5, rounds=3), fom, fails={0}) == [
        [0.0, 0.25, 0.5, 0.75, 1.0]
    ]


def test_a_space_of_choices_is_at_its_end_after_one_round():
    space = Space((CategoricalGene("x", (1, 2, 3)), OrdinalGene("y", (1, 2))))
    assert len(genotypes(IterativeGrid(space, seed=0, budget=1, rounds=5))) == 6


def test_a_zoomed_grid_keeps_choices_and_what_hangs_on_them():
    search = IterativeGrid(NESTED, seed=0, budget=1, points=3, rounds=2, zoom=0.8)
    best = {"a": "two", "b": 14, "c": 0.5, "d": 2, "e": True, "f": 7}
    members = run(search, evaluate=lambda member, _: Evaluation(member.id, float(member.genotype != best)))
    zoomed = [member.genotype for member in members if member.generation == 1]
    assert {(genotype["a"], genotype["e"]) for genotype in zoomed} == {("two", True)}
    assert {genotype["b"] for genotype in zoomed} == {40, 80}  # of the window from 1 to 80; 1 is known
    assert all(NESTED.contains(genotype) for genotype in zoomed)


@pytest.mark.parametrize(
    ("setting", "value"), [("points", 1), ("rounds", 0), ("zoom", 0.0), ("zoom", 1.0), ("best", 0)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(SettingError, match=rf"search\.{setting}={value}"):
        IterativeGrid(LINE, seed=0, budget=1, **{setting: value})


@pytest.mark.parametrize(("name", "kind"), [("grid", Grid), ("iterative_grid", IterativeGrid)])
def test_each_is_named_as_a_search(name, kind):
    search = make_search(Configuration([f"search={name}", "search.points=3"]).settings)
    assert type(search) is kind and len(search.ask(100)) == 27
