"""Values of genes survive journal and command line, and are told apart by type."""

from __future__ import annotations

import json

import msgspec
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from nestedga.population.values import distinct, is_plain, overrides, same, typed

words = st.from_regex(r"[a-z_][a-zA-Z0-9_]{0,5}", fullmatch=True).filter(lambda key: is_plain({key: 1}))
scalars = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    words,
    st.text("ab1 ,:=()[]{}\\'\"$%.-e", max_size=6),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(st.none() | inner, max_size=3), st.dictionaries(words, st.none() | inner, max_size=3)
    ),
    max_leaves=6,
)


@given(value=values)
def test_values_survive_json(value):
    assert is_plain(value)
    assert same(msgspec.json.decode(msgspec.json.encode(value)), value)


@given(value=values)
@example(value="a\\'b\\\\")
@example(value=["3", "true", "1e-3", "", "${x}"])
def test_values_survive_the_command_line(value):
    override = OverridesParser.create().parse_override(f"key={typed(value)}")
    assert same(override.value(), value)


@given(value=values, other=values)
def test_the_same_is_equal_in_value_and_type(value, other):
    assert same(value, json.loads(json.dumps(value)))
    if same(value, other):
        assert value == other and type(value) is type(other)


def test_true_is_not_1_however_deep():
    assert same([{"a": [1]}], [{"a": [1]}]) and not same([{"a": [1]}], [{"a": [True]}]) and not same([1], [1.0])


@given(some=st.lists(values, max_size=6))
def test_distinct_names_each_value_once_in_order(some):
    once = distinct([*some, *some])
    assert all(sum(same(value, other) for other in once) == 1 for value in some)
    assert [some.index(value) for value in once] == sorted(some.index(value) for value in once) or not some


def test_what_is_not_plain():
    for value in (None, float("nan"), [float("inf")], {1: 2}, {"a b": 1}, {"true": 1}, (1, 2), {"a": (1,)}, object()):
        assert not is_plain(value), value


def test_overrides_empty_the_place_of_a_mapping():
    genotype = {"a": 0.1, "b": [1, "x y"], "c": {"d": None}}
    assert overrides(genotype) == ["a=0.1", "b=[1,'x y']", "c=null", "c={d:null}"]
