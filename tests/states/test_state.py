"""A state survives the disk bit by bit, or is known to be damaged."""

import numpy as np
import pytest

from nestedga.states.state import State


def some_state():
    return State.from_arrays(
        {
            "weights/a": np.arange(12, dtype=np.float32).reshape(3, 4),
            "counters/steps": np.array(7),
            "weights/empty": np.empty((0, 3)),
            "weights/odd": np.array([1, 2, 3], np.uint8),
        }
    )


def test_it_comes_back_from_disk_as_it_was(tmp_path):
    state = some_state()
    state.save(tmp_path / "deep" / "1.safetensors")
    again = State.load(tmp_path / "deep" / "1.safetensors")
    assert again is not None
    assert again.checksum == state.checksum and again.entries == state.entries
    for name, array in state.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


def test_missing_and_damaged_files_are_no_state(tmp_path):
    path = tmp_path / "1.safetensors"
    assert State.load(path) is None
    some_state().save(path)
    content = path.read_bytes()
    for damaged in (b"", content[:5], content[:-3], content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(damaged)
        assert State.load(path) is None


def test_it_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        some_state().arrays()["weights/a"][0, 0] = 5


def test_the_checksum_covers_manifest_and_content():
    state = some_state()
    arrays = {name: array.copy() for name, array in state.arrays().items()}
    assert State.from_arrays(arrays).checksum == state.checksum
    renamed = {name.replace("odd", "add"): array for name, array in arrays.items()}
    assert State.from_arrays(renamed).checksum != state.checksum
    arrays["weights/a"][0, 0] += 1
    assert State.from_arrays(arrays).checksum != state.checksum
