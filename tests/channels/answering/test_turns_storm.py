"""Users who write and take back, people who take over, models and functions that are slow or fail, and processes that
are killed at any moment: whatever happens, each message comes to an end, and what is charged is what is on record.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio

from app.core.errors import Problem
from app.storage import bot_turns, lanes
from app.storage.database import Transaction
from channels.answering.asking import ToolCall
from channels.answering.lanes import Nudge
from channels.conversations import people
from tests.channels.answering.models import TOOL, calls
from tests.channels.stage import COST, Stage, open_stage
from tests.databases import ON_BOTH

PLENTY = 100_000_000


class Storm:
    """One conversation in bad weather, the same for the same seed as far as the scheduler lets it be."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.chance = random.Random(seed)
        self.written: list[str] = []
        stage.script = self.model
        self._post, stage.hooks.post = stage.hooks.post, self.function  # type: ignore[method-assign]

    async def model(self, body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        await trio.sleep(self.chance.random() * 0.01)
        if self.chance.random() < 0.15:
            raise Problem("provider_error", "All providers failed.")
        called = sum(message["role"] == "tool" for message in body["messages"])
        if called < 4 and self.chance.random() < 0.5:
            return "", calls(*(("price", {}) for _ in range(self.chance.randint(1, 2))))
        return "An answer.", []

    async def function(self, url: str, headers: Any, body: bytes) -> Any:
        await trio.sleep(self.chance.random() * 0.005)
        return await self._post(url, headers, body)

    async def user(self, nudge: Nudge) -> None:
        """Somebody does something while a turn runs, and the turn is told of it."""
        for _ in range(self.chance.randrange(3)):
            await trio.sleep(self.chance.random() * 0.01)
            what = self.chance.random()
            if what < 0.6:
                self.written.append(await self.stage.hear("more"))
            else:
                await self.stage.db.write(self.stage.tenant_id, self.take_back if what < 0.8 else self.take_over)
            nudge.tell(nudge.told + 1000)

    def take_back(self, db: Transaction) -> None:
        stage = self.stage
        if self.written:
            bot_turns.dispose(db, stage.tenant_id, self.written[-1:], "revoked")
            lanes.nudge(db, stage.tenant_id, stage.conversation_id)

    def take_over(self, db: Transaction) -> None:
        place = (self.stage.tenant_id, self.stage.conversation_id)
        people.silence(db, *place, self.stage.clock.now, escalate=False)
        people.resume(db, *place, self.stage.clock.now)

    async def blow(self) -> None:
        """A process takes up what is due, and may be killed."""
        self.stage.clock.turn(self.chance.choice([1, 5, 61]))
        if self.chance.random() < 0.7:
            self.written.append(await self.stage.hear("hello"))
        nudge = Nudge()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.user, nudge)
            if await self.may_play():
                with trio.move_on_after(self.chance.choice([0.002, 0.01, 0.02, 1.0])):
                    await self.stage.play(self.chance.choice("abc"), nudge)

    async def may_play(self) -> bool:
        sql = f"SELECT 1 FROM lanes WHERE due_at IS NOT NULL AND lease_until <= {self.stage.clock.now}"  # noqa: S608
        return bool(await self.stage.rows(sql))

    async def calm(self) -> None:
        """Whatever is left is taken up by processes that live."""
        for _ in range(40):
            self.stage.clock.turn(61)
            if not await self.may_play():
                return
            await self.stage.play("calm")
        raise AssertionError("turns without end")


@ON_BOTH
@pytest.mark.parametrize("seed", [5, 12, 15, 22])
async def test_every_message_ends_and_every_charge_is_of_a_leg_on_record(database_url: str, seed: int) -> None:
    async with open_stage(database_url, config={"tools": [TOOL]}, credit=PLENTY) as stage:
        storm = Storm(stage, seed)
        for _ in range(12):
            await storm.blow()
        await storm.calm()
        assert "open" not in await stage.dispositions()
        ((legs,),) = await stage.rows("SELECT COUNT(*) FROM turn_legs WHERE leg LIKE 'llm:%'")
        assert await stage.charged() == legs * COST
        assert await stage.rows("SELECT COUNT(*) FROM turns WHERE state = 'answered'") == await stage.rows(
            "SELECT COUNT(DISTINCT turn_id) FROM sends WHERE origin = 'reply'"
        )
        assert await stage.rows("SELECT id FROM calls WHERE state = 'held'") == []
        made_room = "SELECT id FROM turns WHERE state = 'superseded' AND reason LIKE '%has written more'"
        assert await stage.rows(f"SELECT leg FROM turn_legs WHERE turn_id IN ({made_room})") == []  # noqa: S608
        once = "SELECT turn_id FROM sends WHERE origin = 'reply' GROUP BY turn_id HAVING COUNT(*) > 1"
        assert await stage.rows(once) == []
