"""One state made of two."""

from __future__ import annotations

import numpy as np
import pytest

from nestedga.states.state import State
from nestedga.states.weights_crossover import average, layerwise

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


def test_average_is_the_mean_of_floats_and_the_firsts_counters():
    child = average(np.random.default_rng(0), state(1.0), state(2.0, steps=99)).arrays()
    for name, array in child.items():
        expected = {"counters": 7, "optimizer": 15.0, "weights": 1.5}[name.partition("/")[0]]
        assert np.all(array == (1 if name.endswith("tracked") else expected)), name


def test_layerwise_takes_whole_layers_and_both_parents_have_a_share():
    child = layerwise(np.random.default_rng(0), state(1.0), state(2.0)).arrays()
    donors = []
    for layer in LAYERS:
        (donor,) = {float(child[f"weights/{layer}.{name}"][0, 0]) for name in ("weight", "bias")}
        assert np.all(child[f"optimizer/{layer}.weight/momentum_buffer"] == 10.0 * donor)
        assert child[f"weights/{layer}.num_batches_tracked"] == int(donor)
        donors.append(donor)
    assert set(donors) == {1.0, 2.0}


def test_layerwise_draws_by_its_generator_alone():
    one, again, other = (layerwise(np.random.default_rng(s), state(1.0), state(2.0)).checksum for s in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize("combine", [average, layerwise])
def test_what_the_second_does_not_have_alike_is_the_firsts(combine):
    first = state(1.0)
    for second in (state(2.0, width=4), state(2.0, layers=["other"])):
        assert combine(np.random.default_rng(0), first, second).checksum == first.checksum


@pytest.mark.parametrize("combine", [average, layerwise])
def test_parents_stay_as_they_were(combine):
    first, second = state(1.0), state(2.0)
    combine(np.random.default_rng(0), first, second)
    assert (first.checksum, second.checksum) == (state(1.0).checksum, state(2.0).checksum)


def test_halves_do_not_overflow():
    large = State.from_arrays({"weights/a.w": np.full(3, 60000.0, np.float16)})
    assert np.all(average(np.random.default_rng(0), large, large).arrays()["weights/a.w"] == 60000.0)
