"""openai-node, whose accumulator is stricter than Python's, against every endpoint that it knows."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from pathlib import Path
from typing import Any

from scripts.simulator import sound
from scripts.simulator.media import PNG
from tests.api.routes import BILLABLE
from tests.clients.node import run_script
from tests.e2e.calling import open_caller

NINE_WORDS = "The market opens before the sun is up,"


async def test_openai_node_reads_whatever_it_asks_for(sdks: Path, database_url: str) -> None:
    async with open_caller(database_url, heartbeat_s=0.05) as caller:
        results = await run_script(sdks, "openai.mjs", caller)
        asked = {str(endpoint) for (endpoint,) in caller.rows("SELECT DISTINCT endpoint FROM calls")}
        assert asked == {path for _, path in BILLABLE if not path.endswith("/messages")}
        check_responses(results["responses"])
        check_endpoints(results["endpoints"])
        check_chat(results["endpoints"]["chat"])
        check_audio(results["endpoints"]["audio"])


def check_responses(results: Any) -> None:
    for name in ("text", "reasoning", "tools", "heartbeats"):
        assert results[name]["streamed"] == results[name]["whole"]
        assert results[name]["events"][-1] == "response.completed"
    assert results["text"]["text"] == NINE_WORDS
    assert [item["type"] for item in results["reasoning"]["streamed"]["output"]] == ["reasoning", "message"]
    assert results["reasoning"]["streamed"]["output"][0]["content"][0]["text"] != ""
    assert [item["type"] for item in results["tools"]["streamed"]["output"]] == ["function_call"] * 2
    beats = results["heartbeats"]["events"]
    assert beats.count("response.in_progress") > 3
    assert "response.output_text.delta" in beats[: len(beats) - beats[::-1].index("response.in_progress") - 1]
    assert results["failed"][-1] == "server_error"
    assert results["stored"] == {"same": True, "item": "[tokens=3] kept", "gone": 404}


def check_chat(results: Any) -> None:
    assert results["whole"] == results["streamed"] == results["final"] == NINE_WORDS
    assert results["usages"][0] == results["usages"][1]
    assert results["parsed"] == {"city": "Pune", "days": 3}


def check_audio(results: Any) -> None:
    assert len(set(results["texts"])) == 1
    assert results["texts"][0].startswith("The market opens")
    assert results["words"] == len(results["texts"][0].split())
    assert results["english"] == ["translate", "en", 4.0]
    said = sound.pcm(len("Good morning, everyone.") * sound.MS_PER_CHARACTER)
    assert results["sound"] == hashlib.sha256(said).hexdigest()


def check_endpoints(results: Any) -> None:
    assert results["embeddings"] == [[[3, 0, 0.5], [5, 1, 0.5]]] * 2
    assert b64decode(results["image"]) == PNG
    assert "auto" in results["models"]
    assert (results["model"], results["found"]) == ("openai/gpt-5.4-mini", 3)
