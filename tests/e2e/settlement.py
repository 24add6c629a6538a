"""What the ledger says of each call, and what it ought to say by the provider's book and the catalog's prices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import msgspec
import trio

from app.storage.database import Transaction
from app.storage.ledger import broken_tenants
from catalog.catalog import Catalog
from tests.databases import open_view

CATALOG: Final = Catalog.load()
#: A field that no request has: the receipt lists it as ignored, so a call is known even if its client saw nothing.
MARK: Final = "x_tag_"
FINAL: Final = frozenset({"posted", "voided", "expired"})
_COLUMNS: Final = (
    "id, key_id, endpoint, model, state, outcome, hold, charge, uncollected, basis, rule, opened_at, receipt"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `calls`."""

    id: str
    key_id: str
    endpoint: str
    model: str
    state: str
    outcome: str | None
    hold: int
    charge: int
    uncollected: int
    basis: str
    rule: str | None
    opened_at: int
    receipt: dict[str, Any]

    @property
    def tag(self) -> str | None:
        """The tag that the request was marked with; None while the call is open."""
        marks = [name for name in self.receipt.get("ignored", ()) if name.startswith(MARK)]
        return marks[0].removeprefix(MARK) if marks else None


class LedgerView:
    """The database behind the gateway's back, reading only; what it shows is committed."""

    def __init__(self, db: Transaction) -> None:
        self._db = db

    def rows(self, where: str = "1 = 1", *values: object) -> list[Row]:
        found = self._db.all(f"SELECT {_COLUMNS} FROM calls WHERE {where} ORDER BY opened_at", *values)  # noqa: S608
        return [Row(*(*row[:-1], msgspec.json.decode(row[-1] or "{}"))) for row in found]

    def row(self, call_id: str) -> Row:
        (row,) = self.rows("id = ?", call_id)
        return row

    def money(self, tenant_id: str) -> tuple[int, int]:
        """(balance, held)"""
        row = self._db.one("SELECT balance, held FROM tenants WHERE id = ?", tenant_id)
        assert row is not None
        return row[0], row[1]

    def entries(self, tenant_id: str) -> dict[str, int]:
        """The sum of the ledger's entries by kind."""
        sql = "SELECT kind, SUM(amount) FROM ledger_entries WHERE tenant_id = ? GROUP BY kind"
        return {row[0]: row[1] for row in self._db.all(sql, tenant_id)}

    def broken(self) -> list[str]:
        return broken_tenants(self._db)


@contextmanager
def open_ledger(url: str) -> Iterator[LedgerView]:
    with open_view(url) as db:
        yield LedgerView(db)


async def until(true: Callable[[], object], within_s: float = 5.0) -> None:
    """Look until it is true: neither a database nor a provider's book tells of every change."""
    with trio.fail_after(within_s):
        while not true():  # noqa: ASYNC110
            await trio.sleep(0.002)


def question(tag: str, cues: str, model: str, *, stream: bool, **fields: Any) -> bytes:
    """A chat request that the provider's book and the gateway's ledger both know by `tag`."""
    prompt = f"[tag={tag}] {cues} Tell me about the market."
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream, MARK + tag: 1}
    return msgspec.json.encode(body | fields)


def cost_ucr(model: str, prompt: int, completion: int, cached: int = 0) -> int:
    """Micro-credits by the catalog's price list, rounded up once; computed apart from the gateway's own arithmetic."""
    price = CATALOG.models[model].price
    cached_price = price.input_musd if price.cached_input_musd is None else price.cached_input_musd
    musd = (prompt - cached) * price.input_musd + cached * cached_price + completion * price.output_musd
    usd = Fraction(musd, 1_000_000) / 1_000_000
    return math.ceil(usd * CATALOG.rates.credits_per_usd * 1_000_000)


def usage_cost_ucr(model: str, usage: Mapping[str, Any]) -> int:
    """What a usage object that the provider sent is worth."""
    details = usage.get("prompt_tokens_details") or {}
    return cost_ucr(model, usage["prompt_tokens"], usage["completion_tokens"], details.get("cached_tokens", 0))


def tokens_charged(row: Row, prompt: int) -> int | None:
    """The completion tokens that a charge without cached tokens pays for; None when it is no whole number of them."""
    price = CATALOG.models[row.model].price
    per_token = Fraction(price.output_musd * CATALOG.rates.credits_per_usd, 1_000_000)
    tokens = round((row.charge - cost_ucr(row.model, prompt, 0)) / per_token)
    return tokens if tokens >= 0 and cost_ucr(row.model, prompt, tokens) == row.charge else None
