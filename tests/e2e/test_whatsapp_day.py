"""A busy day on WhatsApp in a minute: fifty people write while gateways are killed and the provider fails.

A whole half hour: `WHATSAPP_DAY_S=1800 pytest -o faulthandler_timeout=0 tests/e2e/test_whatsapp_day.py`.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import trio

from scripts.clustering.postgres import free_port
from tests.databases import ON_BOTH, open_view
from tests.e2e.address import run_address
from tests.e2e.topology import Front
from tests.e2e.whatsapp import META, PROMPT, SCOPES, TWILIO, open_shop
from tests.e2e.whatsapp_books import on_phones, wrongs
from tests.e2e.whatsapp_town import Town
from tests.house import open_ground

pytestmark = ON_BOTH

DAY_S: Final = float(os.environ.get("WHATSAPP_DAY_S", "15"))
SEED: Final = int(os.environ.get("WHATSAPP_DAY_SEED", "1"))
USERS: Final = 50
GATEWAYS: Final = 2
#: Of a dead process's calls and of each drain.
TIMES: Final[dict[str, Any]] = {"hold_s": 4.0, "sweep_s": 0.2}
CONFIG: Final[dict[str, Any]] = {
    **{"debounce_seconds": 0.3, "debounce_media_seconds": 0.2, "max_tokens": 4000},
    "fallback_models": ["gpt-5.4-mini"],
}
VOICE: Final = {**PROMPT, "name": "Ravi", "type": "whatsapp_voice"}
SECOND: Final = {**META, "phone_number_id": "106540352242923"}
REST_ROUNDS: Final = 10
REST_S: Final = 3.0


async def test_whatever_dies_each_message_is_answered_once_charged_once_and_in_order(
    tmp_path: Path, database_url: str
) -> None:
    began, port, chance = trio.current_time(), free_port(), random.Random(SEED)
    at_address = {"public_url": f"http://127.0.0.1:{port}", **TIMES}
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(open_ground(database_url, customer=SCOPES, **at_address))
        nursery = await stack.enter_async_context(trio.open_nursery())
        gateways = [
            Front(replace(ground.settings, port=free_port()), tmp_path / f"gateway-{number}.log", 1, stack)
            for number in range(GATEWAYS)
        ]
        await nursery.start(run_address, port, gateways, random.Random(SEED))
        for front in gateways:
            await front.start()
        shops = [
            await open_shop(ground, gateways[0].url, **CONFIG),
            await open_shop(ground, gateways[1].url, SECOND, bot=VOICE, **CONFIG),
            await open_shop(ground, gateways[0].url, TWILIO, bot=VOICE, **CONFIG),
        ]
        town = Town(database_url, gateways, shops, chance)
        await town.live(DAY_S, USERS)
        await town.comes_to_rest(REST_ROUNDS, REST_S)
        wrong = audit(town, trio.current_time() - began)
        for front in gateways:
            assert await front.end(signal.SIGTERM) == 0
        nursery.cancel_scope.cancel()
    assert wrong == []


def audit(town: Town, took_s: float) -> Sequence[str]:
    """Everything that does not add up; prints what was tried."""
    numbers = [shop.number for shop in town.shops]
    with open_view(town.database_url) as db:
        wrong = wrongs(db, numbers)
        became = Counter(row[0] for row in db.all("SELECT disposition FROM messages WHERE role = 'user'"))
        turns = Counter(row[0] for row in db.all("SELECT state FROM turns"))
        again = db.all("SELECT COUNT(*) FROM turns WHERE attempts > 1")[0][0]
        sends = Counter(" ".join(filter(None, row)) for row in db.all("SELECT state, reason FROM sends"))
    reached = sum(len(on_phones(number)) for number in numbers)
    print(
        f"\n{dict(town.counts)}; messages {dict(became)}; turns {dict(turns)}, {again} begun more than once; "
        f"sends {dict(sends)}; {reached} reached phones; {took_s:.0f} s (seed {SEED}); {len(wrong)} differences"
    )
    assert became["answered"] > USERS / 2
    assert town.counts["kills"] > 0
    return wrong
