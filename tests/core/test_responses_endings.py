"""How a response ends: whole, cut short, filtered, failed, kept before it is sent; and what nobody may write then."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import pytest

from app.core.deltas import Delta
from app.core.errors import Problem
from app.core.responses_stream import ResponsesWriter
from tests.core.responses_order import check, events
from tests.core.responses_writing import PROBLEM, TOOL, USAGE, types, whole_stream, writer


def test_an_answer_cut_by_length_is_incomplete_and_so_is_the_item_it_was_in() -> None:
    final = check(whole_stream([Delta(reasoning="Hm."), Delta(content="Chec")], "length")).final
    assert (final["status"], final["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [item["status"] for item in final["output"]] == ["completed", "incomplete"]
    assert final["usage"]["total_tokens"] == 42


@pytest.mark.parametrize(
    ("deltas", "status"), [([Delta(content="So")], "incomplete"), ([Delta(refusal="No.")], "completed")]
)
def test_a_filter_leaves_it_incomplete_but_a_refusal_is_an_answer(deltas: list[Delta], status: str) -> None:
    final = check(whole_stream(deltas, "content_filter")).final
    assert final["status"] == status
    reason = {"reason": "content_filter"} if status == "incomplete" else None
    assert final["incomplete_details"] == reason


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("upstream_error", "server_error"),
        ("internal_error", "server_error"),
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("content_policy_violation", "invalid_prompt"),
    ],
)
def test_a_failure_after_the_beginning_is_told_in_the_words_that_sdks_know(code: str, told: str) -> None:
    out = writer()
    stream = out.open() + out.write([Delta(content="Checking.")]) + out.error(Problem(code, "Sorry."))
    reader = check(stream)
    assert reader.ended == "failed"
    assert reader.final["error"] == {"code": told, "message": "Sorry."}
    assert [item["status"] for item in reader.final["output"]] == ["incomplete"]
    assert types(stream)[-2:] == ["output_text.delta", "failed"]


def test_a_failure_names_fields_as_this_surface_does() -> None:
    out = writer()
    stream = out.open() + out.error(Problem("context_length_exceeded", "Shorten it or lower `max_tokens`."))
    assert check(stream).final["error"]["message"] == "Shorten it or lower `max_output_tokens`."


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_the_ending_may_be_had_before_it_is_sent(finish: str) -> None:
    out, plain = writer(), writer()
    begun = [out.open() + out.write([Delta(content="a")]), plain.open() + plain.write([Delta(content="a")])]
    assert begun[0] == begun[1]
    ending = out.ending({0: finish}, USAGE)
    closed = out.close({0: finish}, USAGE)
    assert ending.events == closed == plain.close({0: finish}, USAGE)
    assert json.loads(ending.response) == events(closed)[-1]["response"]


def test_an_ending_that_could_not_be_kept_is_a_failure_instead() -> None:
    out = writer()
    stream = out.open() + out.write([Delta(content="a")])
    out.ending({0: "stop"}, USAGE)
    assert check(stream + out.error(PROBLEM)).ended == "failed"


def test_the_body_is_the_object_of_the_last_event() -> None:
    out = writer()
    out.open()
    out.write([Delta(content="a"), *TOOL])
    stream = whole_stream([Delta(content="a"), *TOOL], "tool_calls")
    assert json.loads(out.whole({0: "tool_calls"}, USAGE)) == events(stream)[-1]["response"]


STEPS: Final[dict[str, Callable[[ResponsesWriter], object]]] = {
    "open": lambda out: out.open(),
    "write": lambda out: out.write([]),
    "heartbeat": lambda out: out.heartbeat(),
    "ending": lambda out: out.ending({}, USAGE),
    "close": lambda out: out.close({}, USAGE),
    "whole": lambda out: out.whole({}, USAGE),
    "error": lambda out: out.error(PROBLEM),
}


@pytest.mark.parametrize("step", [step for step in STEPS if step != "open"])
def test_nothing_is_written_before_the_beginning(step: str) -> None:
    with pytest.raises(RuntimeError):
        STEPS[step](writer())


@pytest.mark.parametrize("end", ["close", "whole", "error"])
@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_written_after_the_end(step: str, end: str) -> None:
    ended = writer()
    ended.open()
    STEPS[end](ended)
    with pytest.raises(RuntimeError):
        STEPS[step](ended)


@pytest.mark.parametrize("step", ["open", "write", "heartbeat", "ending"])
def test_nothing_comes_between_an_ending_and_its_sending(step: str) -> None:
    out = writer()
    out.open()
    out.ending({}, USAGE)
    with pytest.raises(RuntimeError):
        STEPS[step](out)
