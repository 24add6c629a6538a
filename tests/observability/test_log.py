"""Every line says which process wrote it, and within a request, which request and trace."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import pytest
import trio

from app.observability.log import AddNames, Unbreakable, begin_request, process_names
from app.observability.trace import NO_TRACE, continued

TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def line(**said: Any) -> MutableMapping[str, Any]:
    return AddNames({"replica": "host/1"})(None, "info", {"event": "x", **said})


async def test_the_lines_of_a_request_and_of_its_tasks_carry_its_ids() -> None:
    trace = continued(TRACEPARENT)
    lines: list[MutableMapping[str, Any]] = []

    async def request() -> None:
        begin_request("req_1", trace)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
        lines.append(line())

    async def speak() -> None:
        lines.append(line())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(request)
    assert lines == [{"event": "x", "replica": "host/1", "request_id": "req_1", **trace.ids()}] * 2


async def test_a_line_outside_of_a_request_carries_none_and_requests_do_not_mix() -> None:
    seen: dict[str, str] = {}

    async def request(request_id: str) -> None:
        begin_request(request_id, NO_TRACE)
        await trio.lowlevel.checkpoint()
        seen[request_id] = line()["request_id"]

    async with trio.open_nursery() as nursery:
        for request_id in ("req_1", "req_2"):
            nursery.start_soon(request, request_id)
    assert seen == {"req_1": "req_1", "req_2": "req_2"}
    assert line() == {"event": "x", "replica": "host/1"}


async def test_what_a_line_says_itself_wins() -> None:
    assert line(replica="another")["replica"] == "another"


def test_a_process_is_named_by_host_pid_and_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "gateway-2")
    monkeypatch.setattr("os.getpid", lambda: 41)
    assert process_names() == {"replica": "gateway-2/41"}
    assert process_names(worker=0) == {"replica": "gateway-2/41", "worker": 0}


def test_a_line_that_nobody_can_read_is_lost_without_an_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    pipe = os.fdopen(writing, "w", buffering=1)
    assert Unbreakable(pipe).write("lost\n") == 5
    Unbreakable(pipe).flush()
    with suppress(BrokenPipeError):
        pipe.close()
    assert Unbreakable(pipe).write("lost too\n") == 9
