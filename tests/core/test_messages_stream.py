"""Messages events: one legal order whatever comes, and the same message as the body has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.deltas import Delta, ToolDelta, Usage
from app.core.errors import Problem
from app.core.messages_blocks import Thinking
from app.core.messages_stream import MessageFold, MessagesWriter, Opening, usage_object
from tests.core.messages_events import Folded, Json, events, follow

SIGNED = Thinking(shown=True, signed=True, signature="cm:m")
TEXT_ONLY = Thinking(shown=True, signature="cm:m")
USAGE = Usage(prompt=12, completion=9, cached=4, cache_written=3)
LATE = Problem("provider_error", "This model did not answer in time. Try again.")


def opening(thinking: Thinking | None = None, stops: tuple[str, ...] = ()) -> Opening:
    return Opening("msg_1", "m", 12, "req_1", thinking or Thinking(), stops)


def stream(*writes: list[Delta], finish: str = "stop", **options: Any) -> Folded:
    writer = MessagesWriter(opening(**options))
    data = writer.open() + b"".join(writer.write(deltas) for deltas in writes) + writer.close({0: finish}, USAGE)
    return follow(data)


def body(*writes: list[Delta], finish: str = "stop", **options: Any) -> Json:
    fold = MessageFold(opening(**options))
    for deltas in writes:
        fold.write(deltas)
    message: Json = msgspec.json.decode(fold.whole({0: finish}, USAGE))
    return message


def tool(index: int, arguments: str = "", name: str | None = None) -> Delta:
    return Delta(tools=[ToolDelta(index, arguments, f"call_{index}" if name else None, name)])


def details(*entries: Json) -> Delta:
    return Delta(extras={"reasoning_details": list(entries)})


def test_a_text_is_one_block_with_the_true_usage_at_its_end() -> None:
    folded = stream([Delta(content="Che")], [Delta(content="cking."), Delta(content="")])
    assert folded.content == [{"type": "text", "text": "Checking."}]
    assert folded.message["stop_reason"] == "end_turn"
    assert folded.end == "message_stop"
    assert folded.message["usage"] == {
        **{"input_tokens": 5, "cache_creation_input_tokens": 3},
        **{"cache_read_input_tokens": 4, "output_tokens": 9},
    }


def test_the_first_event_has_the_estimate_of_the_prompt_and_every_key_of_usage() -> None:
    (start,) = events(MessagesWriter(opening()).open())
    assert start["message"] == {
        **{"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []},
        **{"stop_reason": None, "stop_sequence": None},
        "usage": usage_object(Usage(12, 1)),
    }


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_input_and_both_caches_sum_to_the_prompt(plain: int, cached: int, written: int) -> None:
    shown = usage_object(Usage(plain + cached + written, 1, cached, written))
    assert (shown["input_tokens"], shown["cache_read_input_tokens"]) == (plain, cached)
    assert shown["cache_creation_input_tokens"] == written


def test_thinking_is_a_block_before_the_text_and_is_signed_once() -> None:
    folded = stream(
        [Delta(reasoning="User ")], [Delta(reasoning="means Pune.")], [Delta(content="Hi")], thinking=TEXT_ONLY
    )
    assert folded.content == [
        {"type": "thinking", "thinking": "User means Pune.", "signature": "cm:m"},
        {"type": "text", "text": "Hi"},
    ]


def test_thinking_that_was_not_asked_for_is_not_shown() -> None:
    assert stream([Delta(reasoning="secret"), Delta(content="Hi")]).content == [{"type": "text", "text": "Hi"}]


def test_a_providers_own_blocks_keep_their_text_signatures_and_places() -> None:
    folded = stream(
        [
            Delta(
                reasoning="User ",
                extras={"reasoning_details": [{"type": "reasoning.text", "text": "User ", "index": 0}]},
            )
        ],
        [details({"type": "reasoning.text", "text": "means.", "signature": None, "index": 0})],
        [details({"type": "reasoning.text", "signature": "c2ln", "index": 0})],
        [details({"type": "reasoning.encrypted", "data": "ZW5j", "index": 1})],
        [details({"type": "reasoning.text", "text": "More.", "signature": "bTI=", "index": 2})],
        [Delta(content="Hi")],
        [details({"type": "reasoning.text", "signature": "too late", "index": 2})],
        thinking=SIGNED,
    )
    assert folded.content == [
        {"type": "thinking", "thinking": "User means.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZW5j"},
        {"type": "thinking", "thinking": "More.", "signature": "bTI="},
        {"type": "text", "text": "Hi"},
    ]


def test_calls_that_come_at_the_same_time_leave_one_after_the_other() -> None:
    folded = stream(
        [Delta(content="Both.")],
        [tool(0, '{"city":', "get_weather"), tool(1, '{"tz"', "get_time")],
        [tool(1, ':"IST"}'), Delta(content="Wait.")],
        [tool(0, '"Pune"}'), tool(2, "{}", "now")],
        finish="tool_calls",
    )
    assert folded.content == [
        {"type": "text", "text": "Both."},
        {"type": "tool_use", "id": "call_0", "name": "get_weather", "input": {"city": "Pune"}},
        {"type": "tool_use", "id": "call_1", "name": "get_time", "input": {"tz": "IST"}},
        {"type": "text", "text": "Wait."},
        {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
    ]
    assert folded.message["stop_reason"] == "tool_use"


def test_a_call_cut_by_the_limit_is_closed_as_it_is() -> None:
    cut = [[tool(0, '{"city":"Pu', "get_weather"), tool(1, "{}", "now")]]
    folded = stream(*cut, finish="length")
    assert [block["input"] for block in folded.content] == [{}, {}]
    assert folded.message["stop_reason"] == "max_tokens"
    assert body(*cut, finish="length") == folded.message


@pytest.mark.parametrize(
    ("finish", "writes", "reason"),
    [
        ("stop", [Delta(content="a")], "end_turn"),
        ("length", [Delta(content="a")], "max_tokens"),
        ("tool_calls", [tool(0, "{}", "now")], "tool_use"),
        ("stop", [tool(0, "{}", "now")], "tool_use"),
        ("content_filter", [Delta(refusal="No.")], "refusal"),
    ],
)
def test_each_finish_of_chat_has_its_stop_reason(finish: str, writes: list[Delta], reason: str) -> None:
    assert stream(writes, finish=finish).message["stop_reason"] == reason
    assert body(writes, finish=finish)["stop_reason"] == reason


@pytest.mark.parametrize(
    ("stops", "text", "stopped_by", "wanted"),
    [
        (("END", "ND"), "the END", None, ("stop_sequence", "END")),
        (("END",), "the end", None, ("end_turn", None)),
        (("END", "HALT"), "the", "HALT", ("stop_sequence", "HALT")),
        (("END",), "the", "", ("stop_sequence", "END")),
        (("END", "HALT"), "the", "", ("stop_sequence", None)),
        (("END",), "the", "end_turn", ("end_turn", None)),
        ((), "the", "END", ("end_turn", None)),
    ],
)
def test_a_stop_sequence_is_told_by_the_upstream_or_by_the_end_of_the_text(
    stops: tuple[str, ...], text: str, stopped_by: str | None, wanted: tuple[str, str | None]
) -> None:
    pieces = [Delta(content=letter) for letter in text] + [Delta(stopped_by=stopped_by)]
    message = stream(pieces, stops=stops).message
    assert (message["stop_reason"], message["stop_sequence"]) == wanted
    assert body(pieces, stops=stops) == message


def test_a_late_error_closes_the_open_block_and_nothing_makes_the_turn_look_whole() -> None:
    writer = MessagesWriter(opening())
    folded = follow(writer.open() + writer.write([Delta(content="Hal")]) + writer.error(LATE))
    assert folded.end == "error"
    assert folded.message["stop_reason"] is None
    assert folded.error == {
        **{"type": "overloaded_error", "message": LATE.message},
        "details": {"error_code": "provider_error"},
    }


def test_the_switch_adds_a_stop_behind_the_error() -> None:
    writer = MessagesWriter(opening(), error_then_stop=True)
    names = [event["type"] for event in events(writer.open() + writer.error(LATE))]
    assert names == ["message_start", "error", "message_stop"]


def test_no_line_of_an_event_can_be_taken_for_two() -> None:
    writer = MessagesWriter(opening())
    data = writer.open() + writer.write([Delta(content="a\u2028b\u0085c\nd")])
    assert all(line.startswith(("event: ", "data: ")) for line in data.decode().splitlines() if line)


STEPS: dict[str, Callable[[MessagesWriter], bytes]] = {
    "open": lambda writer: writer.open(),
    "write": lambda writer: writer.write([Delta(content="a")]),
    "heartbeat": lambda writer: writer.heartbeat(),
    "close": lambda writer: writer.close({0: "stop"}, USAGE),
    "error": lambda writer: writer.error(LATE),
}


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=6))
def test_any_order_of_calls_gives_a_legal_stream_or_an_exception(steps: list[str]) -> None:
    writer, data = MessagesWriter(opening()), b""
    for step in steps:
        try:
            data += STEPS[step](writer)
        except RuntimeError:
            continue
    if data:
        follow(data)


@pytest.mark.parametrize("step", ["write", "heartbeat", "close", "error"])
def test_nothing_is_written_before_the_start_or_after_the_end(step: str) -> None:
    writer = MessagesWriter(opening())
    with pytest.raises(RuntimeError):
        STEPS[step](writer)
    writer.open()
    writer.close({0: "stop"}, USAGE)
    for late in ("open", step):
        with pytest.raises(RuntimeError):
            STEPS[late](writer)


TEXTS = st.text(max_size=4)
ARGUMENTS = st.sampled_from(["", "{", "}", '{"a":', "1", "{}", " "])
TOOLS = st.builds(lambda index, text: ToolDelta(index, text, f"call_{index}", "now"), st.integers(0, 3), ARGUMENTS)
DETAILS = st.fixed_dictionaries(
    {"type": st.sampled_from(["reasoning.text", "reasoning.encrypted", "reasoning.summary"])},
    optional={
        "text": TEXTS | st.none(),
        "data": TEXTS,
        "signature": st.sampled_from(["s1", None]),
        "index": st.integers(0, 2),
    },
)
DELTAS = st.builds(
    Delta,
    content=st.none() | TEXTS,
    reasoning=st.none() | TEXTS,
    tools=st.none() | st.lists(TOOLS, max_size=2),
    refusal=st.none() | TEXTS,
    extras=st.none() | st.fixed_dictionaries({"reasoning_details": st.lists(DETAILS, max_size=2) | TEXTS}),
    stopped_by=st.none() | st.just("x"),
)
WRITES = st.lists(st.lists(DELTAS, max_size=3) | st.just("ping"), max_size=8)


@given(WRITES, st.sampled_from([Thinking(), TEXT_ONLY, SIGNED]), st.sampled_from(["stop", "length", "tool_calls"]))
def test_any_interleaving_gives_a_legal_stream_that_says_what_the_body_says(
    writes: list[Any], thinking: Thinking, finish: str
) -> None:
    writer, fold = MessagesWriter(opening(thinking, ("x",))), MessageFold(opening(thinking, ("x",)))
    data = writer.open()
    for deltas in writes:
        data += writer.heartbeat() if deltas == "ping" else writer.write(deltas)
        fold.write([] if deltas == "ping" else deltas)
    folded = follow(data + writer.close({0: finish}, USAGE))
    assert folded.end == "message_stop"
    assert folded.pings == writes.count("ping")
    assert folded.message == msgspec.json.decode(fold.whole({0: finish}, USAGE))
    said = [(delta.content or "") + (delta.refusal or "") for deltas in writes if deltas != "ping" for delta in deltas]
    assert "".join(block["text"] for block in folded.content if block["type"] == "text") == "".join(said)


@given(WRITES, st.integers(0, 8))
def test_an_error_at_any_moment_leaves_a_legal_stream(writes: list[Any], after: int) -> None:
    writer = MessagesWriter(opening(SIGNED))
    data = writer.open() + b"".join(writer.write(deltas) for deltas in writes[:after] if deltas != "ping")
    assert follow(data + writer.error(LATE)).end == "error"
