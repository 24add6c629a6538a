"""One request has the same ids wherever it is told of: header, receipt, log lines, spans."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.e2e.calling import CHAT, question
from tests.e2e.process import open_gateway_process
from tests.house import open_ground
from tests.observability.collector import open_collector
from tests.observability.house import open_watched

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}


async def lines_of_a_failed_call(folder: Path, headers: dict[str, str]) -> tuple[str, list[dict[str, Any]]]:
    """The request id that the client was told, and what the log says between start and end."""
    log = folder / "gateway.log"
    async with open_ground(folder, access_log=True) as ground, open_gateway_process(ground.settings, log) as gateway:
        bearer = {"authorization": f"Bearer {ground.customer.key}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=bearer, trust_env=False) as http:
            reply = await http.post(CHAT, json=question("[mock=5xx]", "kimi-k2.6"), headers=headers)
        assert await gateway.end(signal.SIGTERM) == 0
    lines = [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]
    return reply.headers["x-request-id"], lines


async def test_log_lines_of_a_request_carry_its_id_and_its_trace_and_all_lines_the_replica(tmp_path: Path) -> None:
    request_id, lines = await lines_of_a_failed_call(tmp_path, TRACEPARENT)
    about = [line for line in lines if line["event"] in ("chat.attempt_failed", "request")]
    assert len(about) == 3
    assert {(line["request_id"], line["trace_id"], len(line["span_id"])) for line in about} == {
        (request_id, TRACE_ID, 16)
    }
    assert len({line["span_id"] for line in about}) == 1
    assert len({line["replica"] for line in lines}) == 1
    serving = next(line for line in lines if line["event"] == "gateway.serving")
    assert "request_id" not in serving


async def test_without_a_traceparent_lines_have_no_trace(tmp_path: Path) -> None:
    request_id, lines = await lines_of_a_failed_call(tmp_path, {})
    about = [line for line in lines if line.get("request_id") == request_id]
    assert len(about) == 3
    assert not [line for line in lines if "trace_id" in line]


async def test_the_spans_of_a_request_carry_its_id_and_its_call_and_hang_in_the_client_s_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        async with open_watched(tmp_path, otel_exporter_otlp_endpoint=collector.url) as watcher:
            await watcher.get("/readyz")
            reply = await watcher.caller.http.post(CHAT, json=question("[tokens=3]"), headers=TRACEPARENT)
        request, child = sorted(collector.spans, key=lambda span: span.name)
        assert (request.name, child.name) == (f"POST {CHAT}", "chat @cf/moonshotai/kimi-k2.6")
        said = {each.key: each.value.string_value for each in request.attributes}
        assert said["callmissed.request_id"] == reply.headers["x-request-id"]
        assert said["gen_ai.response.id"] == reply.json()["id"]
        assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
        assert child.parent_span_id == request.span_id
        assert request.start_time_unix_nano <= child.start_time_unix_nano <= child.end_time_unix_nano
        assert child.end_time_unix_nano <= request.end_time_unix_nano
