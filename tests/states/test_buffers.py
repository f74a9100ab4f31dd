"""Memory is used again, but never while somebody may still look at it."""

import gc

import numpy as np
import pytest

from nestedga.states import buffers

MANY = 4 * buffers.POOLED_BYTES


@pytest.fixture(autouse=True)
def nothing_kept_before():
    gc.collect()
    buffers._free.clear()


def address(array):
    return array.ctypes.data


def test_memory_is_used_again_once_nobody_sees_it():
    array = buffers.empty(MANY)
    assert array.shape == (MANY,) and array.dtype == np.uint8 and array.flags.writeable
    first = address(array)
    array[:] = 1
    view = array[100:200].view(np.float32)
    del array
    gc.collect()
    another = buffers.empty(MANY)
    assert address(another) != first
    another[:] = 2
    np.testing.assert_array_equal(view.view(np.uint8), 1)
    del view
    assert address(buffers.empty(MANY - 100)) == first


def test_memory_of_another_size_is_left():
    first = buffers.empty(MANY)
    where = address(first)
    del first
    larger, smaller = buffers.empty(MANY + 1), buffers.empty(MANY // 2)
    assert address(larger) != where and address(smaller) != where
    assert address(buffers.empty(MANY)) == where


def test_little_is_kept():
    several = [buffers.empty(MANY) for _ in range(10)]
    del several
    assert len(buffers._free) <= buffers.MOST_FREE
