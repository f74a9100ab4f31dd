"""The trust region: its coordinates, its size, and what it reaches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nestedga.errors import SettingError
from nestedga.population.genes import CategoricalGene, FloatGene, IntGene
from nestedga.population.member import Evaluation, Status
from nestedga.population.space import Space
from nestedga.search.model_based.trust_region import FACTOR, LARGEST, SMALLEST, Region, TrustRegion

FIVE = Space(tuple(FloatGene(f"x{i}", -5.0, 5.0) for i in range(5)))
ROTATION = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]


def make(space=FIVE, **settings):
    return TrustRegion(space, **{"seed": 0, "budget": 1, "evaluations": 200, **settings})


def point(member):
    return np.array(list(member.genotype.values()))


def ellipsoid(x):
    """A rotated ellipsoid with axes from 1 to 1,000, its minimum off the middle."""
    return float(np.logspace(0, 6, 5) @ (ROTATION @ (x - 1.5)) ** 2)


def rosenbrock(x):
    """A curved valley."""
    return float((100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum())


def minimum(function, search):
    best = math.inf
    while not search.done:
        (member,) = search.ask(1)
        best = min(best, function(point(member)))
        search.tell(Evaluation(member.id, function(point(member))))
    return best


@pytest.mark.parametrize(("function", "reached"), [(ellipsoid, 1e-6), (rosenbrock, 10.0)])
def test_narrow_and_curved_valleys_are_no_obstacle(function, reached):
    """Where random search is far behind with as many evaluations."""
    rng = np.random.default_rng(0)
    assert min(function(x) for x in rng.uniform(-5.0, 5.0, (120, 5))) > 10.0 * reached
    assert minimum(function, make(evaluations=120)) < reached


def test_the_middle_comes_first():
    assert (point(make().ask(1)[0]) == 0.0).all()


def test_good_points_have_unit_covariance_once_they_are_many():
    rng = np.random.default_rng(0)
    units = rng.normal(0.5, [0.2, 0.01, 0.001], (400, 3))
    region = Region.around(list(units), list(rng.random(400)), 400)
    np.testing.assert_allclose(region.points.T @ region.points / 400, np.eye(3), atol=0.01)


def test_few_points_leave_the_coordinates_as_they_are():
    units = np.random.default_rng(0).normal(0.5, 0.1, (10, 20))
    metric = (region := Region.around(list(units), list(range(10)), 10)).to_unit @ region.to_unit.T
    np.testing.assert_allclose(metric / metric[0, 0], np.eye(20), atol=1e-3)


def test_coordinates_go_there_and_back_and_stay_inside():
    units = np.random.default_rng(0).random((40, 5))
    region = Region.around(list(units), list(range(40)), 20)
    np.testing.assert_allclose(region.unit(region.local(units)), units)
    assert (region.unit(100.0 * region.local(units)) <= 1.0).all()
    assert (region.centre == units[0]).all() and len(region.points) == 20


def test_failed_points_count_as_bad_as_the_worst():
    region = Region.around(list(np.random.default_rng(0).random((4, 5))), [3.0, math.nan, 1.0, 7.0], 4)
    assert sorted(region.foms) == [1.0, 3.0, 7.0, 7.0]


def told(search, foms):
    for fom in foms:
        (member,) = search.ask(1)
        failed = Evaluation(member.id, math.nan, Status.FAILED)
        search.tell(failed if math.isnan(fom) else Evaluation(member.id, fom))


def test_the_region_grows_with_improvements_and_shrinks_with_failures():
    search = make(initial_points=2)
    told(search, [9.0, 8.0, 7.0, 6.0])
    assert search._side == FACTOR
    told(search, [5.0, 6.0, math.nan, 6.0])
    assert search._side == FACTOR
    told(search, [6.0])
    assert search._side == 1.0


def test_it_never_grows_beyond_its_limit():
    search = make(initial_points=2)
    told(search, range(60, 0, -1))
    assert search._side == LARGEST


def test_a_region_that_has_shrunk_begins_anew_anywhere():
    search = make(initial_points=2)
    told(search, [1.0, 0.0])
    search._side = SMALLEST * 1.1
    told(search, [2.0] * 4)
    assert search._side == 1.0 and search._foms == []
    fresh = [point(search.ask(1)[0]) for _ in range(20)]
    assert np.std(fresh) == pytest.approx(10.0 / math.sqrt(12.0), rel=0.2)


def test_the_model_does_not_hang_on_when_somebody_asked():
    one, other = make(), make()
    for search in (one, other):
        members = [search.ask(1)[0] for _ in range(2)]
        members += search.ask(30)
        for member in members:
            search.tell(Evaluation(member.id, ellipsoid(point(member))))
            if search is one:
                search._parameters() if len(search._foms) >= search._num_initial else None
    assert one.ask(2) == other.ask(2)


def test_members_in_flight_are_not_asked_twice():
    search = make(space=Space(FIVE.genes[:2]), kappa=1.0)
    told(search, [float(np.sum(np.square(i - 6.0))) for i in range(12)])
    asked = np.array([point(member) for member in search.ask(8)])
    distances = np.linalg.norm(asked[:, None] - asked, axis=-1)[np.triu_indices(8, 1)]
    assert distances.min() > 0.0


def test_whole_numbers_are_met():
    space = Space((FloatGene("x", 0.0, 1.0), IntGene("k", 0, 9)))
    search, best = make(space, evaluations=40), math.inf
    while not search.done:
        (member,) = search.ask(1)
        fom = (member.genotype["x"] - 0.3) ** 2 + (member.genotype["k"] - 7) ** 2
        best = min(best, fom)
        search.tell(Evaluation(member.id, fom))
    assert best < 1e-3


@pytest.mark.parametrize(
    ("setting", "value"), [("initial_points", 1), ("max_points", 1), ("kappa", -1.0), ("population_size", 0)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(SettingError, match=f"search.{setting}={value}"):
        make(**{setting: value})


def test_genes_without_order_or_with_conditions_are_refused():
    kind, size = CategoricalGene("kind", ("a", "b")), FloatGene("size", 0.0, 1.0)
    with pytest.raises(SettingError, match="trust_region needs genes with an order; space.kind has none"):
        make(Space((kind, size)))
    with pytest.raises(SettingError, match=r"always active; space.size is not: .* as model_based"):
        make(Space((IntGene("depth", 1, 3), size), {"size": (("depth", (1,)),)}))
