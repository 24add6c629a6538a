"""Whatever becomes of a call on whatever billable route, its receipt says what its row in the ledger says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import trio

from tests.e2e.calling import Caller, Json, until
from tests.e2e.routed_cells import ROUTES, Routed
from tests.e2e.surfaces import SURFACES, Surface
from tests.e2e.test_models_and_receipts import RECEIPT
from tests.e2e.wire_clients import Ask

BASES: Final = {"provider_usage", "usage_snapshot", "tokenizer_estimate", "none"}


def _of_tokens(surface: Surface, *, stream: bool) -> Callable[[str], Ask]:
    return lambda cue: Ask(surface.question("t", f"{cue} [tokens=5]", "kimi-k2.6", stream=stream), surface.path)


def _of_units(route: Routed) -> Callable[[str], Ask]:
    return lambda cue: route.question("t", cue, route.models[0])


#: Path -> a question with this cue in it.
ASKS: Final[dict[str, Callable[[str], Ask]]] = {
    **{surface.path: _of_tokens(surface, stream=True) for surface in SURFACES},
    **{f"{surface.path} unstreamed": _of_tokens(surface, stream=False) for surface in SURFACES},
    **{route.path: _of_units(route) for route in ROUTES},
}


async def call(caller: Caller, name: str, cue: str) -> None:
    body, path, content_type = ASKS[name](cue)
    await caller.post(body, path, content_type=content_type)


async def only_receipt(caller: Caller) -> Json:
    """The receipt of the one call there is; what every receipt must say is checked."""
    await caller.settled()
    ((call_id, endpoint, charge, basis, rule),) = caller.rows("SELECT id, endpoint, charge, basis, rule FROM calls")
    receipt = await caller.receipt(str(call_id))
    assert receipt.keys() >= RECEIPT
    assert (receipt["id"], receipt["endpoint"]) == (call_id, endpoint)
    assert (receipt["settlement_basis"], receipt["settlement_rule"]) == (basis, rule)
    assert basis in BASES
    assert receipt["credits"] == pytest.approx(int(str(charge)) / 1_000_000, abs=1e-6)
    assert receipt["api_key_id"] == caller.house.customer.key_id
    assert receipt["uncollected"] == 0
    return receipt


@pytest.mark.parametrize("name", ASKS)
async def test_a_good_call_has_a_receipt_of_what_it_cost(caller: Caller, name: str) -> None:
    await call(caller, name, "")
    receipt = await only_receipt(caller)
    assert receipt["credits"] == caller.books().charged / 1_000_000 > 0
    assert (receipt["outcome"], receipt["cancelled"], receipt["attempts"][-1]["status"]) == ("completed", False, 200)
    assert receipt["hold"]["credits"] >= receipt["credits"]


@pytest.mark.parametrize("name", ASKS)
async def test_a_failed_call_has_a_receipt_that_it_was_free(caller: Caller, name: str) -> None:
    await call(caller, name, "[mock=bad_request]")
    receipt = await only_receipt(caller)
    assert (receipt["outcome"], receipt["credits"], receipt["settlement_rule"]) == ("failed", 0, "B6")
    assert receipt["attempts"][-1]["status"] in (400, 422)


@pytest.mark.parametrize("name", ASKS)
async def test_a_call_that_was_left_has_a_receipt_that_says_when(caller: Caller, name: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, caller, name, "[mock=hang_headers_after_accept]")

        async def accepted() -> bool:
            return any(record.headers_sent is not None for record in caller.upstream())

        await until(accepted)
        await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    receipt = await only_receipt(caller)
    told: dict[str, Any] = {"outcome": "cancelled", "cancelled": True, "cancelled_at": "before first token"}
    assert told.items() <= receipt.items()
    assert receipt["settlement_rule"] == "B4"
