"""A provider that is away, slow, broken or empty: a mapped error, nothing charged, and the next call is served."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from app.api.stream import StreamSink
from app.core.deltas import Delta
from app.providers import registry
from app.providers.deadlines import Deadlines
from tests.e2e.calling import MODELS, Caller, open_caller, question

AWAY = "http://127.0.0.1:9"
#: The setting that moves each dialect's host, and where its paths begin there.
HOSTS: dict[str, dict[str, Any]] = {
    "openrouter": {"openrouter_base_url": f"{AWAY}/api/v1"},
    "cloudflare": {"cloudflare_base_url": f"{AWAY}/client/v4"},
    "sarvam": {"sarvam_base_url": AWAY},
    "openai": {"fast_base_url": f"{AWAY}/v1", "cloudflare_base_url": f"{AWAY}/client/v4"},
}
#: Deadlines short enough to be waited for.
HURRIED: dict[str, Any] = {"first_byte_s": 0.15, "gap_s": 0.15}
#: trigger, status, code, and the row of the settlement table that makes it free.
FAULTS = [
    ("hang_headers", 503, "provider_error", "B6"),
    ("hang_headers_after_accept", 503, "provider_error", "B6"),
    ("hang_mid", 503, "provider_error", "B6"),
    ("5xx", 502, "upstream_error", "B6"),
    ("html_500", 502, "upstream_error", "B6"),
    ("529", 502, "upstream_error", "B6"),
    ("error_200", 502, "upstream_error", "B6"),
    ("bad_first_chunk", 502, "upstream_error", "B6"),
    ("invalid_json_body", 502, "upstream_error", "B6"),
    ("close_before_body", 502, "upstream_error", "B6"),
    ("eof_mid", 502, "upstream_error", "B6"),
    ("end_mid", 502, "upstream_error", "B6"),
    ("rst_mid", 502, "upstream_error", "B6"),
    ("error_mid", 502, "upstream_error", "B6"),
    ("empty_answer", 502, "upstream_error", "B7"),
    ("401", 503, "provider_error", "B6"),
    ("402", 503, "provider_error", "B6"),
]


async def check_free(caller: Caller, rule: str) -> None:
    books = await caller.settled()
    assert books.charged == 0
    endings = caller.rows("SELECT state, outcome, basis, rule FROM calls ORDER BY opened_at")
    assert endings[0] == ("voided", "failed", "none", rule)


@pytest.mark.parametrize("dialect", MODELS)
async def test_a_provider_that_cannot_be_reached_is_503(tmp_path: Path, dialect: str) -> None:
    async with open_caller(tmp_path, **HOSTS[dialect]) as caller:
        reply = await caller.chat("hi", MODELS[dialect])
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "provider_error")
        assert "could not be reached" in reply.json()["error"]["message"]
        await check_free(caller, "B6")


@pytest.mark.parametrize(("trigger", "status", "code", "rule"), FAULTS, ids=[fault[0] for fault in FAULTS])
@pytest.mark.parametrize("model", ["sarvam-30b", "openai/gpt-5.4-mini"])
async def test_a_fault_before_the_end_is_a_free_error(
    tmp_path: Path, model: str, trigger: str, status: int, code: str, rule: str
) -> None:
    async with open_caller(tmp_path, **HURRIED) as caller:
        reply = await caller.chat(f"[mock={trigger}]", model)
        if (trigger, model) == ("529", "openai/gpt-5.4-mini"):
            status, code = 503, "provider_error"
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
        assert "try again" in reply.json()["error"]["message"].lower()
        await check_free(caller, rule)


@pytest.mark.parametrize("trigger", ["hang_headers", "hang_headers_after_accept"])
async def test_a_stream_whose_provider_never_begins_ends_with_an_error(tmp_path: Path, trigger: str) -> None:
    async with (
        open_caller(tmp_path, **HURRIED) as caller,
        caller.stream(question(f"[mock={trigger}]")) as stream,
    ):
        opening, error = await stream.events()
        assert opening.delta == {"role": "assistant", "content": ""}
        assert error.data["error"]["code"] == "provider_error"
        await check_free(caller, "B6")


async def test_a_stream_that_falls_silent_ends_with_an_error_at_the_gap_deadline(tmp_path: Path) -> None:
    async with (
        open_caller(tmp_path, **HURRIED) as caller,
        caller.stream(question("[tag=mute] [mock=hang_mid]")) as stream,
    ):
        events = await stream.events()
        assert events[-1].data["error"]["code"] == "provider_error"
        assert 0.1 < events[-1].at - events[-2].at < 0.5
        with trio.fail_after(1):
            assert (await caller.house.book.ended("mute")).outcome == "peer_closed"
        await check_free(caller, "B6")


async def test_an_answer_that_takes_too_long_altogether_is_cut(tmp_path: Path) -> None:
    async with (
        open_caller(tmp_path, total_s=0.5) as caller,
        caller.stream(question("[mock=slow_tokens] [tokens=50]")) as stream,
    ):
        events = await stream.events()
        assert events[-1].data["error"]["code"] == "provider_error"
        assert 0.4 < events[-1].at - stream.began < 1
        await check_free(caller, "B6")


async def test_an_answer_that_is_read_too_slowly_is_ended_and_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(StreamSink):
        async def write(self, deltas: Sequence[Delta]) -> None:
            await super().write(deltas)
            await trio.sleep(0.1)

    monkeypatch.setattr("app.api.chat.StreamSink", Slow)
    monkeypatch.setattr(registry, "Deadlines", partial(Deadlines, reader_s=0.35))
    async with (
        open_caller(tmp_path, total_s=1.0) as caller,
        caller.stream(question("[mock=slow_tokens] [tokens=50]")) as stream,
    ):
        events = await stream.events()
        assert events[-1].data["error"]["code"] == "invalid_request_error"
        books = await caller.settled()
        assert books.charged > 0
        ((state, outcome, rule),) = caller.rows("SELECT state, outcome, rule FROM calls")
        assert (state, outcome) == ("posted", "cancelled")
        assert rule in ("B3", "B4")


async def test_a_crash_of_ours_in_mid_answer_is_told_and_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crashing(StreamSink):
        async def write(self, deltas: Sequence[Delta]) -> None:
            await super().write(deltas)
            raise RuntimeError("a bug")

    monkeypatch.setattr("app.api.chat.StreamSink", Crashing)
    async with open_caller(tmp_path) as caller, caller.stream(question("[mock=slow_tokens] [tokens=5]")) as stream:
        events = await stream.events()
        assert events[-1].data["error"]["code"] == "internal_error"
        await check_free(caller, "B6")


async def test_a_provider_that_failed_once_answers_the_same_call(caller: Caller) -> None:
    reply = await caller.chat("[tag=again] [mock=fail_once:a] [tokens=3]", "sarvam-30b")
    assert reply.status_code == 200
    assert reply.headers["x-cm-attempts"] == "2"
    receipt = await caller.receipt(reply.json()["id"])
    assert [(attempt["provider"], attempt["status"]) for attempt in receipt["attempts"]] == [
        ("sarvam", 500),
        ("sarvam", 200),
    ]
    assert receipt["tokens_completion"] == 3
    assert len(caller.upstream("again")) == 2


@pytest.mark.parametrize("trigger", ["5xx", "rst_mid", "empty_answer", "bad_first_chunk"])
async def test_after_a_fault_the_next_call_is_served_and_charged(caller: Caller, trigger: str) -> None:
    assert (await caller.chat(f"[mock={trigger}]")).status_code == 502
    reply = await caller.chat("[tokens=4]")
    assert reply.status_code == 200
    books = await caller.settled()
    assert books.charged > 0
    assert (await caller.receipt(reply.json()["id"]))["settlement_basis"] == "provider_usage"


@pytest.mark.parametrize(
    ("trigger", "basis", "rule", "free"),
    [
        ("usage_zero", "provider_usage", "B8", True),
        ("no_usage", "tokenizer_estimate", "B9", False),
        ("length", "provider_usage", "B10", False),
        ("drop_after_usage", "provider_usage", "B10", False),
    ],
)
async def test_a_finished_answer_is_charged_on_the_best_figure_there_is(
    caller: Caller, trigger: str, basis: str, rule: str, free: bool
) -> None:
    reply = await caller.chat(f"[mock={trigger}] [tokens=7]", "openai/gpt-5.4-mini")
    receipt = await caller.receipt(reply.json()["id"])
    assert (receipt["settlement_basis"], receipt["settlement_rule"]) == (basis, rule)
    assert (receipt["credits"] == 0) == free
    price = 100 * (1.00 * reply.json()["usage"]["prompt_tokens"] + 6.00 * 7) / 1_000_000
    assert receipt["credits"] == (0 if free else pytest.approx(price, abs=1e-6))
    assert receipt["total_cost"] == pytest.approx(receipt["credits"] / 100)
