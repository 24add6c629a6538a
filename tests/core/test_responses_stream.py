"""The stream of a response: these events in this order, read by the SDK as they were meant."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai._models import validate_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from app.core.deltas import Delta, ToolDelta, Usage
from app.core.responses_thoughts import unwrapped
from app.core.writer import WholeWriter
from tests.core.responses_order import Json, Reader, as_sent, check, events
from tests.core.responses_writing import PROBLEM, TOOL, USAGE, types, whole_stream, writer
from tests.core.streams import GOLDEN, normaliser, read, take

RawEvent: Final[Any] = ResponseStreamEvent


def sdk_final(stream: bytes) -> Json:
    """What the SDK's own accumulator returns at the end."""
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    last: Any = None
    for event in events(stream):
        last = state.handle_event(validate_type(type_=RawEvent, value=event))[-1]
    return as_sent(last.response)


def test_it_is_a_writer_of_streams_and_bodies() -> None:
    one: WholeWriter = writer()
    assert one.open().startswith(b"event: response.created\ndata: {")


def test_the_order_of_reasoning_text_a_citation_and_a_call() -> None:
    cited = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 9, "title": "T", "url": "u"}}
    deltas = [
        Delta(reasoning="User means Pune."),
        Delta(content="Checking."),
        Delta(extras={"annotations": [cited]}),
        *TOOL,
    ]
    stream = whole_stream(deltas, "tool_calls")
    assert types(stream) == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "reasoning_text.delta"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.annotation.added"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    final = check(stream).final
    assert final["output"] == [
        {
            "id": "rs_1_0",
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "User means Pune."}],
            "encrypted_content": None,
        },
        {
            "id": "msg_1_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "Checking.",
                    "annotations": [
                        {"type": "url_citation", "start_index": 0, "end_index": 9, "title": "T", "url": "u"}
                    ],
                    "logprobs": [],
                }
            ],
        },
        {
            "id": "fc_1_2",
            "type": "function_call",
            "status": "completed",
            "call_id": "call_1",
            "name": "get_weather",
            "arguments": '{"city":"Pune"}',
        },
    ]
    assert (final["status"], final["completed_at"]) == ("completed", 1790000004)
    assert final["usage"] == {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 10},
        "total_tokens": 42,
    }


def test_a_text_delta_is_these_bytes() -> None:
    out = writer()
    out.open()
    out.write([Delta(content="a")])
    assert (
        out.write([Delta(content="दो\u2028")])
        == (
            'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":5,'
            '"item_id":"msg_1_0","output_index":0,"content_index":0,"delta":"दो\\u2028","logprobs":[]}\n\n'
        ).encode()
    )


def test_a_heartbeat_repeats_the_output_so_far_and_changes_nothing() -> None:
    deltas = [Delta(content="a"), Delta(content="b"), *TOOL]
    silent, beating = writer(), writer()
    quiet = silent.open() + silent.write(deltas) + silent.close({0: "tool_calls"}, USAGE)
    stream = beating.open() + beating.heartbeat()
    for delta in deltas:
        stream += beating.write([delta]) + beating.heartbeat()
    stream += beating.close({0: "tool_calls"}, USAGE)
    assert check(stream).final == check(quiet).final
    assert sdk_final(stream) == sdk_final(quiet)


def test_calls_that_come_in_turns_are_each_put_together() -> None:
    deltas = [
        Delta(tools=[ToolDelta(0, "", "a", "f"), ToolDelta(1, '{"x', "b", "g")]),
        Delta(tools=[ToolDelta(0, '{"y":')]),
        Delta(tools=[ToolDelta(1, '":1}')]),
        Delta(tools=[ToolDelta(0, "2}")]),
    ]
    output = check(whole_stream(deltas, "tool_calls")).final["output"]
    assert [(item["call_id"], item["arguments"]) for item in output] == [("a", '{"y":2}'), ("b", '{"x":1}')]


def test_a_call_is_done_as_soon_as_the_next_begins() -> None:
    deltas = [
        Delta(tools=[ToolDelta(0, "{}", "a", "f")]),
        Delta(tools=[ToolDelta(1, "", "b", "g")]),
        Delta(tools=[ToolDelta(1, "{}")]),
    ]
    order = [event.partition(".")[2] for event in types(whole_stream(deltas, "tool_calls"))[2:-1]]
    assert order == ["added", "delta", "done", "done"] * 2


def test_logprobs_are_passed_only_to_who_asked() -> None:
    entry = {"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "b", "logprob": -1.0}]}
    deltas = [Delta(content="a", logprobs={"content": [entry], "refusal": None}) for _ in range(2)]
    (item,) = check(whole_stream(deltas, logprobs=True)).final["output"]
    whole = {**entry, "bytes": [], "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": []}]}
    assert item["content"][0]["logprobs"] == [whole, whole]
    (item,) = check(whole_stream(deltas)).final["output"]
    assert item["content"][0]["logprobs"] == []


SIGNED: Final = [{"type": "reasoning.text", "index": 0, "signature": "c2ln", "format": "f"}]


def test_what_a_model_must_have_back_of_its_thoughts_is_in_their_item() -> None:
    shown = [{"type": "reasoning.text", "index": 0, "text": "Hm."}]
    deltas = [
        Delta(reasoning="Hm.", extras={"reasoning_details": shown}),
        Delta(extras={"reasoning_details": SIGNED}),
        Delta(content="Yes."),
    ]
    thought, said = check(whole_stream(deltas)).final["output"]
    assert unwrapped(thought["encrypted_content"], "m") == [{**SIGNED[0], "text": "Hm."}]
    assert (thought["content"][0]["text"], said["content"][0]["text"]) == ("Hm.", "Yes.")


def test_a_thought_that_is_not_shown_has_an_item_all_the_same() -> None:
    data = [{"type": "reasoning.encrypted", "data": "AAAA"}]
    thought, _ = check(whole_stream([Delta(extras={"reasoning_details": data}), Delta(content="Yes.")])).final["output"]
    assert (thought["content"], unwrapped(thought["encrypted_content"], "m")) == ([], data)


def test_a_thought_that_anyone_could_write_needs_no_envelope() -> None:
    shown = [{"type": "reasoning.text", "index": 0, "text": "Hm."}]
    (thought,) = check(whole_stream([Delta(reasoning="Hm.", extras={"reasoning_details": shown})])).final["output"]
    assert thought["encrypted_content"] is None


def test_the_tier_that_the_provider_names_is_told() -> None:
    deltas = [Delta(content="a", top={"service_tier": "flex"})]
    assert check(whole_stream(deltas)).final["service_tier"] == "flex"


@pytest.mark.parametrize("name", GOLDEN)
def test_what_real_providers_send_comes_out_legal_and_whole(name: str) -> None:
    upstream = normaliser()
    deltas = take(upstream, read(GOLDEN[name]))
    out = writer()
    stream = out.open() + out.write(deltas) + out.close(upstream.finishes, upstream.usage or Usage())
    reader = check(stream)
    said = "".join(
        part["text"] for item in reader.final["output"] if item["type"] == "message" for part in item["content"]
    )
    assert said == "".join(delta.content or "" for delta in deltas)
    if reader.ended == "completed":
        assert sdk_final(stream)["output"] == reader.final["output"]


TEXTS: Final = st.text(min_size=1, max_size=6)
ARGUMENTS: Final = st.sampled_from(["", "{", "}", "{}", '{"a":1}', '"x":', " ", "[1]"])


@st.composite
def delta_lists(draw: st.DrawFn) -> list[Delta]:
    """Anything that `Normaliser` could say of one choice: calls are announced in order, then grow in any."""
    opened, deltas = 0, []
    for _ in range(draw(st.integers(0, 14))):
        tools = []
        for _ in range(draw(st.integers(0, 2))):
            index = draw(st.integers(0, opened))
            new = index == opened
            opened += new
            name = (f"call_{index}", "f") if new else (None, None)
            tools.append(ToolDelta(index, draw(ARGUMENTS), *name))
        entry = {"token": "t", "logprob": -1.0, "bytes": [1], "top_logprobs": []}
        cited = [{"type": "url_citation", "url_citation": {"url": "u"}}, {"type": "other"}]
        delta = Delta(
            content=draw(st.none() | TEXTS),
            reasoning=draw(st.none() | st.none() | TEXTS),
            tools=tools or None,
            refusal=draw(st.none() | st.none() | st.none() | TEXTS),
            logprobs=draw(st.none() | st.just({"content": [entry], "refusal": None})),
            extras=draw(st.sampled_from([None, {"annotations": cited}, {"reasoning_details": SIGNED}])),
        )
        deltas.append(delta)
    return deltas


@given(
    deltas=delta_lists(),
    cuts=st.lists(st.integers(0, 14), max_size=4),
    finish=st.sampled_from(["stop", "length", "tool_calls", "content_filter", "error"]),
    logprobs=st.booleans(),
    prepared=st.booleans(),
)
def test_whatever_an_upstream_says_the_stream_is_legal(
    deltas: list[Delta], cuts: list[int], finish: str, logprobs: bool, prepared: bool
) -> None:
    out = writer(logprobs=logprobs)
    stream, reader = out.open(), Reader()
    for place, delta in enumerate(deltas):
        stream += out.write([delta])
        if place in cuts:
            stream += out.heartbeat()
    if prepared:
        out.ending({0: finish}, USAGE)
    stream += out.error(PROBLEM) if finish == "error" else out.close({0: finish}, USAGE)
    for event in events(stream):
        reader.feed(event)
    assert reader.ended is not None
    texts = [part for item in reader.items if item["type"] == "message" for part in item["content"]]
    assert "".join(part.get("text", "") for part in texts) == "".join(delta.content or "" for delta in deltas)
    assert "".join(part.get("refusal", "") for part in texts) == "".join(delta.refusal or "" for delta in deltas)
    if logprobs:
        said = [part for part in texts if part["type"] == "output_text"]
        assert sum(len(part["logprobs"]) for part in said) == sum(delta.logprobs is not None for delta in deltas)
    if reader.ended == "completed":
        assert sdk_final(stream)["output"] == reader.final["output"]
