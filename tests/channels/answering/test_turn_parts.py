"""Each turn's row tells how long its parts took, and each end is counted once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from app.core.errors import Problem
from app.observability.metrics import Metrics
from channels.answering.asking import ToolCall
from channels.outbound.outcomes import answered_us
from tests.channels.stage import SECOND_US, Stage, open_stage
from tests.databases import ON_BOTH
from tests.observability.reading import Page

pytestmark = ON_BOTH
TOOL = {"name": "price", "url": "https://shop.example/price", "description": "The price of a thing."}


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with open_stage(database_url) as opened:
        yield opened


async def facts(stage: Stage) -> dict[str, Any]:
    ((found,),) = await stage.rows("SELECT facts FROM turns")
    return msgspec.json.decode(found, type=dict[str, Any])


async def ends(stage: Stage) -> dict[tuple[str, str], float]:
    """What was counted, by state and reason."""
    metrics = Metrics()
    metrics.channels = stage.metrics
    page = await Page.of_metrics(metrics)
    found = {labels: n for (name, labels), n in page.items() if name == "callmissed_turns_total" and n}
    return {(dict(labels)["state"], dict(labels)["reason"]): n for labels, n in found.items()}


async def test_an_answered_turn_tells_what_the_user_waited_for(stage: Stage) -> None:
    await stage.hear("hello")
    stage.clock.turn(1)
    await stage.hear("do you have tea?")
    stage.clock.turn(2)

    async def think(_body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        stage.clock.turn(3)
        return "Yes.", []

    stage.script = think
    await stage.play()
    told = await facts(stage)
    assert (told["waited_ms"], told["total_ms"], told["model"]) == (2000, 5000, "kimi-k2.5")
    assert told["model_ms"] >= 0
    assert "heard_ms" not in told
    assert "functions_ms" not in told
    assert await ends(stage) == {("answered", ""): 1}


async def test_every_question_and_function_counts_to_its_part(database_url: str) -> None:
    async def ask_price(body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        if body["messages"][-1]["role"] == "tool":
            return "Five.", []
        return "", [ToolCall("call_1", "price", '{"thing": "tea"}')]

    async with open_stage(database_url, config={"tools": [TOOL]}, script=ask_price) as stage:
        await stage.hear("how much is tea?")
        await stage.play()
        told = await facts(stage)
        assert {"waited_ms", "model_ms", "functions_ms", "total_ms"} <= set(told)
        assert len(stage.asked) == 2


async def test_a_failed_turn_has_its_parts_and_its_reason(stage: Stage) -> None:
    async def fail(_body: dict[str, Any]) -> Any:
        raise Problem("provider_error", "All providers failed.")

    stage.script = fail
    await stage.hear("hello")
    stage.clock.turn(4)
    await stage.play()
    assert (await facts(stage))["waited_ms"] == 4000
    assert await ends(stage) == {("failed", "provider"): 1}


async def test_a_turn_that_crashed_too_often_is_counted_by_who_gives_it_up(stage: Stage) -> None:
    await stage.hear("hello")
    await stage.play()
    sql = "UPDATE turns SET state = 'running', attempts = 2, ended_at = NULL"
    await stage.db.write(stage.tenant_id, lambda db: db.do(sql))
    await stage.db.write(stage.tenant_id, lambda db: db.do("UPDATE messages SET disposition = 'open' WHERE seq > 0"))
    await stage.db.write(stage.tenant_id, lambda db: db.do("DELETE FROM messages WHERE role = 'assistant'"))
    await stage.db.write(stage.tenant_id, lambda db: db.do("UPDATE lanes SET due_at = 1"))
    await stage.play()
    assert await ends(stage) == {("answered", ""): 1, ("failed", "crashed"): 1}


async def test_what_the_provider_takes_is_known_by_the_message_it_answers(stage: Stage) -> None:
    await stage.hear("hello")
    asked = stage.clock.now
    stage.clock.turn(2)
    await stage.play()
    ((send_id,),) = await stage.rows("SELECT id FROM sends")
    found = await stage.db.read(stage.tenant_id, lambda db: answered_us(db, stage.tenant_id, send_id))
    assert found is not None
    assert abs(found - asked) < SECOND_US / 100
