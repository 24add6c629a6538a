"""anthropic-typescript against `/v1/messages`."""

from __future__ import annotations

from pathlib import Path

from tests.clients.node import run_script
from tests.e2e.calling import open_caller


async def test_anthropic_typescript_reads_bodies_and_streams_alike(sdks: Path, database_url: str) -> None:
    async with open_caller(database_url, heartbeat_s=0.05) as caller:
        results = await run_script(sdks, "anthropic_messages.mjs", caller, "")
    for name in ("text", "thinking", "tools", "heartbeats"):
        assert results[name]["streamed"] == results[name]["whole"]
        assert results[name]["events"][-2:] == ["message_delta", "message_stop"]
    kinds = {name: [block["type"] for block in results[name]["whole"]["content"]] for name in ("thinking", "tools")}
    assert kinds == {"thinking": ["thinking", "redacted_thinking", "text"], "tools": ["tool_use", "tool_use"]}
    assert results["failed"] == {"status": None, "type": "api_error"}
    assert results["refused"] == {"status": 404, "type": "not_found_error"}
    assert results["counted"] > 0
    assert "auto" in results["models"]
    assert results["model"] == "Claude Sonnet 4.6"
    assert results["text"]["read"] == results["text"]["whole"]["content"][0]["text"]
