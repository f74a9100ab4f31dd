"""Whatever may be said comes out as it went in; what may not is refused, and bytes that are none of ours too."""

import dataclasses
import enum
import types
import typing

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestedga.population.member import Evaluation
from nestedga.protocol.messages import Durable, Evaluated, Ready, StateRequest
from nestedga.protocol.wire import MESSAGES, decode, encode

NUMBERS = st.integers(-(2**63), 2**63 - 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | NUMBERS, inner, max_size=3),
    max_leaves=10,
)
SIMPLE = {
    int: NUMBERS,
    float: st.floats(),
    str: st.text(),
    bool: st.booleans(),
    type(None): st.none(),
    typing.Any: PLAIN,
}


def values(kind):
    """A strategy for whatever a type allows."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in SIMPLE:
        return SIMPLE[kind]
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*map(values, arguments))
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is tuple and arguments[-1] is ...:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    assert origin is dict, kind
    return st.dictionaries(*map(values, arguments), max_size=3)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_messages_come_back_as_they_were(kind):
    @given(values(kind))
    def law(message):
        again = decode(encode(message))
        assert type(again) is kind and repr(again) == repr(message)  # which knows NaN for its like

    law()


@given(PLAIN)
def test_plain_data_comes_back_as_it_was(value):
    assert repr(decode(encode(value))) == repr(value)


def test_tuples_come_back_as_lists():
    assert decode(encode((1, (2, "x")))) == [1, [2, "x"]]


def test_numbers_of_numpy_are_numbers():
    metrics = {"a": np.float64(0.5), "b": np.float32(0.25), "c": np.float64("nan")}
    message = decode(encode(Evaluated(3, Evaluation(7, np.float32(2.0), metrics=metrics))))
    assert message.evaluation.fom == 2.0 and repr(message.evaluation.metrics) == "{'a': 0.5, 'b': 0.25, 'c': nan}"
    assert decode(encode([np.int64(3), np.True_])) == [3, True]


@pytest.mark.parametrize("value", [object(), {1, 2}, [object()], np.zeros(2), Exception("x"), print])
def test_what_is_no_plain_data_is_refused(value):
    with pytest.raises(TypeError):
        encode(value)


@pytest.mark.parametrize("payload", [b"", bytes((len(MESSAGES) + 1, 0)), b"\x80\x04\x95"])
def test_bytes_of_no_message_are_refused(payload):
    with pytest.raises(ValueError, match="no message"):
        decode(payload)


def test_types_are_checked_at_the_door():
    request = encode(StateRequest(0, 1, 2))
    for wrong in (encode(Ready("x")), encode(Durable(0, ("a",))), request[:-1], request[:1] + encode([1])[1:]):
        with pytest.raises(msgspec.DecodeError):
            decode(wrong)
