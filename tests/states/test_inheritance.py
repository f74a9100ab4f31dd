"""The state that a child begins with, made of its parents'."""

from __future__ import annotations

import numpy as np
import pytest

from nestedga.errors import SettingError
from nestedga.search.evolution.breeding import WEIGHTS
from nestedga.states.inheritance import INHERITANCES, Parent, inherit
from nestedga.states.state import State

LAYERS = [f"block{i}.conv" for i in range(12)]


def state(value, *, layers=LAYERS, width=3, steps=7):
    arrays = {}
    for layer in layers:
        for name in ("weight", "bias"):
            arrays[f"weights/{layer}.{name}"] = np.full((width, 2), value, np.float32)
            arrays[f"optimizer/{layer}.{name}/momentum_buffer"] = np.full((width, 2), 10.0 * value, np.float32)
        arrays[f"weights/{layer}.num_batches_tracked"] = np.array([int(value)])
    arrays["counters/steps"] = np.array(steps)
    return State.from_arrays(arrays)


def child_of(kind, *states, seed=0):
    return inherit(kind, np.random.default_rng(seed), {}, [Parent(parent, {}) for parent in states])


def test_every_way_that_a_user_may_choose_is_there():
    assert set(WEIGHTS) <= set(INHERITANCES)


@pytest.mark.parametrize("kind", INHERITANCES)
def test_nobody_inherits_of_parents_without_a_state(kind):
    assert child_of(kind) is None


@pytest.mark.parametrize("kind", INHERITANCES)
def test_a_child_hangs_on_the_arguments_alone_and_parents_stay_as_they_were(kind):
    one, again = (child_of(kind, state(1.0), state(2.0)) for _ in range(2))
    assert one.checksum == again.checksum
    first, second = state(1.0), state(2.0)
    child_of(kind, first, second)
    assert (first.checksum, second.checksum) == (state(1.0).checksum, state(2.0).checksum)


@pytest.mark.parametrize("kind", INHERITANCES)
def test_a_child_of_equal_parents_is_as_they(kind):
    assert child_of(kind, state(1.0), state(1.0)).checksum == state(1.0).checksum


def test_a_clone_is_the_first_parent_whoever_else_is_there():
    assert child_of("clone", state(1.0)).checksum == child_of("clone", state(1.0), state(2.0)).checksum
    assert not INHERITANCES["clone"].new_statistics


@pytest.mark.parametrize("kind", ["average", "layerwise"])
def test_one_parent_is_too_few_for_two(kind):
    with pytest.raises(SettingError, match=f"inheritance={kind} needs 2 parents with a state and has 1"):
        child_of(kind, state(1.0))


def test_a_way_that_nobody_knows_is_named():
    with pytest.raises(SettingError, match="inheritance='averge' is unknown; known: clone, average, layerwise"):
        child_of("averge", state(1.0))


def test_average_is_the_mean_of_floats_and_the_firsts_counters():
    child = child_of("average", state(1.0), state(2.0, steps=99)).arrays()
    for name, array in child.items():
        expected = {"counters": 7, "optimizer": 15.0, "weights": 1.5}[name.partition("/")[0]]
        assert np.all(array == (1 if name.endswith("tracked") else expected)), name


def test_layerwise_takes_whole_layers_and_both_parents_have_a_share():
    child = child_of("layerwise", state(1.0), state(2.0)).arrays()
    donors = []
    for layer in LAYERS:
        (donor,) = {float(child[f"weights/{layer}.{name}"][0, 0]) for name in ("weight", "bias")}
        assert np.all(child[f"optimizer/{layer}.weight/momentum_buffer"] == 10.0 * donor)
        assert child[f"weights/{layer}.num_batches_tracked"] == int(donor)
        donors.append(donor)
    assert set(donors) == {1.0, 2.0}


def test_layerwise_draws_by_its_generator_alone():
    one, again, other = (child_of("layerwise", state(1.0), state(2.0), seed=s).checksum for s in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize("kind", ["average", "layerwise"])
def test_what_the_second_does_not_have_alike_is_the_firsts(kind):
    first = state(1.0)
    for second in (state(2.0, width=4), state(2.0, layers=["other"])):
        assert child_of(kind, first, second).checksum == first.checksum


def test_halves_do_not_overflow():
    large = State.from_arrays({"weights/a.w": np.full(3, 60000.0, np.float16)})
    assert np.all(child_of("average", large, large).arrays()["weights/a.w"] == 60000.0)
