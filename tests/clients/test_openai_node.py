"""openai-node, whose accumulator is stricter than Python's, against `/v1/responses`."""

from __future__ import annotations

from pathlib import Path

from tests.clients.node import run_script
from tests.e2e.calling import open_caller


async def test_openai_node_reads_bodies_and_streams_alike(sdks: Path, database_url: str) -> None:
    async with open_caller(database_url, heartbeat_s=0.05) as caller:
        results = await run_script(sdks, "openai_responses.mjs", caller)
    for name in ("text", "reasoning", "tools", "heartbeats"):
        assert results[name]["streamed"] == results[name]["whole"]
        assert results[name]["events"][-1] == "response.completed"
    assert results["text"]["text"] == "The market opens before the sun is up,"
    assert [item["type"] for item in results["reasoning"]["streamed"]["output"]] == ["reasoning", "message"]
    assert results["reasoning"]["streamed"]["output"][0]["content"][0]["text"] != ""
    assert [item["type"] for item in results["tools"]["streamed"]["output"]] == ["function_call"] * 2
    beats = results["heartbeats"]["events"]
    assert beats.count("response.in_progress") > 3
    assert "response.output_text.delta" in beats[: len(beats) - beats[::-1].index("response.in_progress") - 1]
    assert results["failed"][-1] == "server_error"
    assert results["stored"] == {"same": True, "item": "[tokens=3] kept", "gone": 404}
