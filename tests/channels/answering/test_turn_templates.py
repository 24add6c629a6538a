"""When the 24 hours are over before a turn begins: the template, unless nobody wants it or nobody can pay for it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.channels.stage import Stage, open_stage
from tests.databases import ON_BOTH

pytestmark = ON_BOTH
CONFIG = {"fallback_template": {"name": "come_back"}}


async def templates(stage: Stage) -> list[Any]:
    """The templates that go out when the user's message is looked at a day too late."""
    await stage.hear("hello")
    stage.clock.turn(86_400)
    await stage.play()
    assert await stage.dispositions() == ["window_closed"]
    rows = await stage.rows("SELECT body FROM sends WHERE kind = 'template'")
    return [msgspec.json.decode(row[0])["name"] for row in rows]


async def test_a_template_goes_out(database_url: str) -> None:
    async with open_stage(database_url, config=CONFIG) as stage:
        assert await templates(stage) == ["come_back"]


async def test_none_goes_to_a_customer_who_wants_none(database_url: str) -> None:
    async with open_stage(database_url, config=CONFIG) as stage:
        await stage.db.write(stage.tenant_id, lambda db: db.do("UPDATE contacts SET opted_out_at = 1"))
        assert await templates(stage) == []


@pytest.mark.parametrize(("credit", "sent"), [(119_999, []), (120_000, ["come_back"])])
async def test_none_goes_out_that_the_balance_does_not_cover(database_url: str, credit: int, sent: list[str]) -> None:
    async with open_stage(database_url, config=CONFIG, credit=credit) as stage:
        assert await templates(stage) == sent


async def test_none_goes_out_that_whatsapp_has_switched_off(database_url: str) -> None:
    async with open_stage(database_url, config=CONFIG) as stage:
        off = '{"name": "come_back", "language": "en", "error": "132015: Paused"}'
        await stage.db.write(stage.tenant_id, lambda db: db.do("UPDATE numbers SET template_off = ?", off))
        assert await templates(stage) == []
