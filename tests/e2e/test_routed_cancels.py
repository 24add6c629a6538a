"""A client that leaves a search, its images or its embeddings: the provider is left, and the books are exact."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import trio

from app.core.tokens import count_text
from scripts.simulator.book import Record
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json
from tests.e2e.leaving import answering, asked, half_sent, leave

pytestmark = ON_BOTH

CREDIT = 1_000_000
CREDITS_PER_USD = 100
#: Micro-USD for a million tokens.
BGE_M3_MUSD = 12_000
SURFACES: dict[str, Callable[[str], tuple[str, Json]]] = {
    "search": lambda cue: ("/v1/search", {"query": f"what is trio {cue}", "provider": "serper"}),
    "images": lambda cue: ("/v1/images/generations", {"model": "lucid-origin", "prompt": f"a lamp {cue}", "n": 2}),
    "embeddings": lambda cue: ("/v1/embeddings", {"model": "bge-m3", "input": f"a lamp {cue}"}),
}
#: On what basis each surface is charged once the provider has accepted. An image that is not there costs nothing.
ACCEPTED = {"search": "usage_snapshot", "images": "none", "embeddings": "tokenizer_estimate"}
#: The moment, the trigger that makes the provider stop there, and how its book shows that it was reached.
PHASES = {
    "before upstream headers": ("[mock=hang_headers]", asked, "before acceptance"),
    "before the body": ("[mock=hang_headers_after_accept]", answering, "before first token"),
    "amid the body": ("[mock=hang_mid]", half_sent, "before first token"),
}


def cost_ucr(surface: str, body: Json) -> int:
    """What is known to have been done when the provider has accepted and nothing has come."""
    if surface == "embeddings":
        return -(-count_text(body["input"]) * BGE_M3_MUSD * CREDITS_PER_USD // 1_000_000)
    return CREDIT if surface == "search" else 0


def endings(caller: Caller) -> list[tuple[object, ...]]:
    return caller.rows("SELECT state, outcome, charge, basis, rule FROM calls")


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("phase", PHASES)
async def test_leaving_costs_what_is_known_to_have_been_done(caller: Caller, surface: str, phase: str) -> None:
    cue, reached, cancelled_at = PHASES[phase]
    path, body = SURFACES[surface](cue)
    seen_at = 0.0

    def met(records: list[Record]) -> bool:
        nonlocal seen_at
        # The provider's head must have reached the gateway, too.
        seen_at = seen_at or (trio.current_time() if reached(records) else 0.0)
        return bool(seen_at) and trio.current_time() > seen_at + 0.05

    records = await leave(caller, path, body, met)
    accepted = phase != "before upstream headers"
    charge = cost_ucr(surface, body) if accepted else 0
    basis, rule = (ACCEPTED[surface], "B4") if accepted else ("none", "B2")
    assert endings(caller) == [("posted" if charge else "voided", "cancelled", charge, basis, rule)]
    ((text,),) = caller.rows("SELECT receipt FROM calls")
    assert msgspec.json.decode(str(text))["cancelled_at"] == cancelled_at
    assert {record.outcome for record in records} <= {"peer_closed", "faulted"}
    assert all(record.close_seen is not None for record in records)


async def test_a_client_that_leaves_pays_for_the_images_that_were_there(caller: Caller) -> None:
    """Two of three are done when it leaves."""
    body = {"model": "lucid-origin", "prompt": "a lamp [mock=hang_once:lamp]", "n": 3}
    done_at = 0.0

    def two_done(records: list[Record]) -> bool:
        nonlocal done_at
        if sum(record.outcome == "finished" for record in records) == 2:
            done_at = done_at or trio.current_time()
        return bool(done_at) and trio.current_time() > done_at + 0.05

    records = await leave(caller, "/v1/images/generations", body, two_done)
    assert endings(caller) == [("posted", "cancelled", 2 * 8 * CREDIT, "usage_snapshot", "B4")]
    assert sorted(str(record.outcome) for record in records) == ["finished", "finished", "peer_closed"]


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_provider_that_does_not_end_its_connection_has_answered_all_the_same(
    caller: Caller, surface: str
) -> None:
    path, body = SURFACES[surface]("[mock=hang_after_done]")
    with trio.fail_after(3):
        assert (await caller.post(body, path)).status_code == 200
    ((_, outcome, _, basis, _),) = endings(caller)
    assert (outcome, basis) == ("completed", "provider_usage")
