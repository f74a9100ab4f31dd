"""Rate schedules: continuous where warm-up ends, bounded, and what their papers say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.errors import SettingError
from nestedga.job.build import build
from nestedga.job.composition import CONF
from nestedga.job.configuration import Configuration
from nestedga.training.rate_schedules import Constant, Cosine, OneCycle, Step
from nestedga.training.recipe import scaling
from nestedga.training.settings import RecipeConfig

WARMUP = st.floats(0.1, 50)
SCHEDULES = {
    "constant": lambda warmup: Constant(warmup=warmup),
    "step": lambda warmup: Step(milestones=[60, 80], gamma=0.1, warmup=warmup),
    "cosine": lambda warmup: Cosine(epochs=100, warmup=warmup, final=0.1),
    "one_cycle": lambda warmup: OneCycle(epochs=100, warmup=warmup),
}


@pytest.mark.parametrize("name", SCHEDULES)
@given(warmup=WARMUP)
def test_nothing_jumps_where_warmup_ends(name, warmup):
    schedule = SCHEDULES[name](warmup)
    assert schedule(math.nextafter(warmup, 0)) == pytest.approx(schedule(warmup), rel=1e-9) == pytest.approx(1.0)


@pytest.mark.parametrize("name", SCHEDULES)
@given(warmup=WARMUP, epochs=st.floats(0, 1e6))
def test_factors_are_bounded_and_rise_while_warming_up(name, warmup, epochs):
    schedule = SCHEDULES[name](warmup)
    assert 0.0 <= schedule(epochs) <= 1.0
    if epochs <= warmup:
        assert schedule(epochs / 2) <= schedule(epochs)
    elif epochs <= 1e5:
        assert schedule(2 * epochs) <= schedule(epochs)


def test_every_schedule_of_the_configuration_begins_and_stays_finite():
    for path in sorted((CONF / "schedule").glob("*.yaml")):
        if path.stem != "none":
            schedule = build(Configuration([f"schedule={path.stem}"]).plain()["schedule"])
            assert all(0.0 <= schedule(epochs) <= 1.0 for epochs in (0.0, 0.5, 10.0, 91.0, 160.0, 1e9))


def test_milestones_are_reached_exactly():
    schedule = Step(milestones=[2, 3], gamma=0.5)
    assert [schedule(at) for at in (1.999, 2.0, 2.999, 3.0, 99.0)] == [1.0, 0.5, 0.5, 0.25, 0.25]


def test_cosine_and_one_cycle_pass_through_their_points():
    cosine = Cosine(epochs=12, warmup=2, final=0.2)
    assert [cosine(at) for at in (0, 1, 2, 7, 12, 40)] == pytest.approx([0.0, 0.5, 1.0, 0.6, 0.2, 0.2])
    cycle = OneCycle(epochs=12, warmup=2, start=0.1)
    assert [cycle(at) for at in (0, 1, 2, 7, 12)] == pytest.approx([0.1, 0.55, 1.0, 0.5, 0.0], abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(warmup=-1), "schedule.warmup=-1"),
        (lambda: Step(milestones=[5, 5]), r"schedule.milestones=\[5, 5\] must ascend"),
        (lambda: Step(milestones=[5], gamma=0.0), "schedule.gamma=0"),
        (lambda: Cosine(epochs=5, warmup=5), "schedule.epochs=5 must be above schedule.warmup=5"),
        (lambda: Cosine(epochs=5, final=2.0), "schedule.final=2"),
        (lambda: OneCycle(epochs=5, start=-0.5), "schedule.start=-0.5"),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_rates_scale_with_the_batch():
    def factor(kind):
        return scaling(RecipeConfig(lr_scaling=kind, base_batch_size=256), 1024)

    assert (factor("none"), factor("linear"), factor("sqrt")) == (1.0, 4.0, 2.0)
