from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.deltas import Delta, ToolDelta
from app.core.normalise import Malformed
from tests.core.streams import call, chunk, joined, normaliser, take, tools


@pytest.mark.parametrize("missing", [{}, {"index": None}])
def test_c5_calls_without_an_index_are_numbered_by_id(missing: dict[str, Any]) -> None:
    parts = [("a", "f", '{"x":'), ("b", "g", "{"), ("a", None, "1}"), ("b", None, "}")]
    entries = [call(None, *part) | missing for part in parts]
    expected = [(0, "a", "f", '{"x":1}'), (1, "b", "g", "{}")]
    assert joined(take(normaliser(), [tools(entry) for entry in entries])) == expected
    assert joined(take(normaliser(), [tools(*entries)])) == expected


def test_fragments_of_one_call_in_one_chunk_leave_as_one() -> None:
    entries = [call(0, "a", "f", "1"), call(1, "b", "g", "2"), call(0, arguments="3")]
    assert normaliser().feed(tools(*entries)) == [
        Delta(0, tools=[ToolDelta(0, "13", "a", "f"), ToolDelta(1, "2", "b", "g")])
    ]


def test_c5_calls_that_all_say_index_zero_are_told_apart_by_id() -> None:
    entries = [call(0, "a", "f", "{"), call(0, None, None, "}"), call(0, "b", "f", "["), call(0, None, None, "]")]
    assert joined(take(normaliser(), [tools(e) for e in entries])) == [(0, "a", "f", "{}"), (1, "b", "f", "[]")]


def test_c5_interleaved_calls_are_told_apart_by_index() -> None:
    entries = [
        call(0, "a", "f"),
        call(1, "b", "g"),
        call(0, arguments="1"),
        call(1, arguments="2"),
        call(0, arguments="3"),
    ]
    assert joined(take(normaliser(), [tools(e) for e in entries])) == [(0, "a", "f", "13"), (1, "b", "g", "2")]


def test_c5_indexes_with_gaps_become_contiguous() -> None:
    entries = [call(3, "a", "f", "1"), call(7, "b", "g", "2"), call(3, arguments="1")]
    assert joined(take(normaliser(), [tools(e) for e in entries])) == [(0, "a", "f", "11"), (1, "b", "g", "2")]


def test_c5_whole_calls_without_ids_or_indexes_stay_apart() -> None:
    entries = [call(None, None, "f", '{"x":1}'), call(None, None, "f", '{"x":2}'), call(None, None, "g", "{}")]
    assert joined(take(normaliser(), [tools(e) for e in entries])) == [
        (0, "minted_0", "f", '{"x":1}'),
        (1, "minted_1", "f", '{"x":2}'),
        (2, "minted_2", "g", "{}"),
    ]


def test_c4_id_type_and_name_repeated_in_each_fragment_go_out_once() -> None:
    entries = [call(0, "a", "f", part) for part in ('{"x"', ":1", "}")]
    assert joined(take(normaliser(), [tools(e) for e in entries])) == [(0, "a", "f", '{"x":1}')]
    assert joined(take(normaliser(), [tools(call(0, None, "f", p)) for p in ('{"x"', ":1", "}")])) == [
        (0, "minted_0", "f", '{"x":1}')
    ]


def test_an_id_that_comes_late_belongs_to_the_call_that_waits_for_it() -> None:
    entries = [call(0, None, "f", "{"), call(0, "late", None, "}"), call(0, "late", None, " ")]
    assert joined(take(normaliser(), [tools(e) for e in entries])) == [(0, "minted_0", "f", "{} ")]


def test_a_call_is_announced_when_its_name_is_known() -> None:
    deltas = take(normaliser(), [tools(call(0, "a", None, "{")), tools(call(0, None, "f", "}"))])
    assert deltas == [Delta(0, tools=[ToolDelta(0, "{}", "a", "f")])]


def test_a_call_that_never_gets_a_name_is_malformed() -> None:
    upstream = normaliser()
    upstream.feed(tools(call(0, "a", None, "{}")))
    with pytest.raises(Malformed, match="without a name"):
        upstream.close()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"x": [1, "é"]}, {"x": [1, "é"]}), ({}, {}), (None, {}), ("", {}), (" ", {}), ('{"x":1}', {"x": 1})],
)
def test_c6_the_arguments_of_every_call_join_to_json(arguments: Any, text: Any) -> None:
    entry = call(0, "a", "f") | {"function": {"name": "f", "arguments": arguments}}
    [(_, _, _, whole)] = joined(take(normaliser(), [tools(entry)]))
    assert json.loads(whole) == text


def test_c6_a_call_without_arguments_gets_its_braces_once_at_the_close() -> None:
    upstream = normaliser()
    assert upstream.feed(tools(call(0, "a", "f"))) == [Delta(0, tools=[ToolDelta(0, "", "a", "f")])]
    assert upstream.close() == [Delta(0, tools=[ToolDelta(0, "{}")])]
    assert upstream.close() == []


def test_a_legacy_function_call_becomes_a_tool_call() -> None:
    upstream = normaliser()
    parts = [{"name": "f", "arguments": ""}, {"arguments": '{"x":'}, {"arguments": "1}"}]
    payloads = [chunk({"function_call": part}) for part in parts] + [chunk({}, finish="function_call")]
    assert joined(take(upstream, payloads)) == [(0, "minted_0", "f", '{"x":1}')]
    assert upstream.finishes == {0: "tool_calls"}


texts = st.text(max_size=4)
fragments = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": st.none() | texts,
        "reasoning": st.none() | texts,
        "reasoning_content": st.none() | texts,
        "refusal": st.none() | texts,
        "foo": texts,
        "tool_calls": st.lists(
            st.builds(
                call,
                index=st.none() | st.integers(0, 2),
                id=st.sampled_from([None, "", "a", "b"]),
                name=st.just("f"),
                arguments=st.sampled_from([None, "", "1", {"x": 1}]),
            ),
            max_size=3,
        ),
    },
)


@given(st.lists(st.tuples(st.integers(0, 3), fragments, st.sampled_from([None, "stop", "length"])), max_size=8))
def test_whatever_comes_calls_are_contiguous_named_once_and_no_delta_is_empty(rows: list[tuple[int, Any, Any]]) -> None:
    upstream = normaliser(3)
    deltas = take(upstream, [chunk(delta, index=index, finish=finish) for index, delta, finish in rows])
    assert all(d.content or d.reasoning or d.refusal or d.tools for d in deltas)
    assert bool(deltas) == upstream.has_content
    for choice in range(3):
        calls = joined([delta for delta in deltas if delta.choice == choice])
        assert all(id and name == "f" and arguments for _, id, name, arguments in calls)
    assert all(delta.choice < 3 for delta in deltas)
