"""The ledger held against what clients know and what the providers' book says, call by call, while it runs."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import trio

from app.core.deltas import Usage
from app.core.pricing import TokenPrice
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.storage.ledger import broken_tenants
from catalog.catalog import Catalog
from scripts.soak.client import Told
from scripts.soak.house import Providers

#: Before a call is looked up: what its client knows is committed, and the provider has closed its record.
SETTLED_S: Final = 3.0
#: After that nothing is open any more, not even the call of a client that stopped reading.
OVERDUE_S: Final = 60.0
EXAMPLES: Final = 20
#: Usage that nobody asked for: of calls whose client saw no id.
MOST_USAGES: Final = 20_000


class Row(NamedTuple):
    """A call in the ledger."""

    state: str
    outcome: str | None
    charge: int
    uncollected: int


@dataclass(slots=True)
class Audit:
    """`looked` calls were compared with the ledger, `priced` of them with the providers' book, too."""

    db: Database
    providers: Providers
    looked: int = 0
    priced: int = 0
    differences: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    _pending: list[Told] = field(default_factory=list)
    _usages: OrderedDict[str, Usage] = field(default_factory=OrderedDict)
    _since: int = 0
    _prices: dict[str, TokenPrice] = field(default_factory=lambda: prices(Catalog.load()))

    def expect(self, told: Iterable[Told]) -> None:
        """Look these calls up once they must have ended."""
        self._pending += told

    @property
    def waits(self) -> int:
        """Calls that are still to be looked up."""
        return len(self._pending)

    def forget_book(self) -> None:
        """The providers begin a new one."""
        self._since = 0

    async def read_book(self) -> None:
        """What the providers served since the last time."""
        for record in await trio.to_thread.run_sync(self.providers.book, self._since):
            if record["outcome"] is None:
                break  # read again from here once it has ended
            self._since = record["n"]
            if record["tag"] and record["usage_sent"]:
                self._usages[record["tag"]] = _usage(record["usage_sent"])
        while len(self._usages) > MOST_USAGES:
            self._usages.popitem(last=False)

    async def look(self) -> None:
        """Compare every call that ended a while ago."""
        await self.read_book()
        now = trio.current_time()
        due = [told for told in self._pending if told.ended + SETTLED_S <= now]
        if not due:
            return
        self._pending = [told for told in self._pending if told.ended + SETTLED_S > now]
        rows = await self.db.read(EVERY_TENANT, lambda t: _rows(t, [told.call_id for told in due]))
        for told in due:
            row = rows.get(told.call_id)
            if row is not None and row.state == "held" and told.ended + OVERDUE_S > now:
                self._pending.append(told)
            else:
                self._compare(told, row)

    async def open_holds(self) -> int:
        return await self.db.read(EVERY_TENANT, _open_holds)

    async def broken_tenants(self) -> list[str]:
        return await self.db.read(EVERY_TENANT, broken_tenants)

    def _compare(self, told: Told, row: Row | None) -> None:
        self.looked += 1
        usage = self._usages.pop(told.ask.tag, None)
        wrong = difference(told, row)
        if wrong is None and row is not None and usage is not None and told.saw_end and told.ask.kind == "plain":
            self.priced += 1
            due = self._prices[told.ask.model].cost_ucr(usage)
            if row.charge != due:
                wrong = "charged another sum than the provider's book makes"
        if wrong is not None:
            self.differences[wrong] += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(f"{wrong}: {row} {usage} {told}")


def difference(told: Told, row: Row | None) -> str | None:
    """What the client knows against what the ledger says."""
    if row is None:
        return "not in the ledger"
    if row.state == "held":
        return "open long after its end"
    if row.uncollected:
        return "not collected"
    if told.saw_end and (row.state, row.outcome) != ("posted", "completed"):
        return "seen to its end and not charged"
    if told.status >= 400 and row.charge:
        return "refused and charged"
    return None


def prices(catalog: Catalog) -> dict[str, TokenPrice]:
    """Of every model that is paid by the token."""
    rate = catalog.rates.credits_per_usd
    return {
        model.id: TokenPrice(price.input_musd, price.output_musd, rate, price.cached_input_musd)
        for model in catalog.models.values()
        if (price := model.price).unit == "tokens"
    }


def _usage(sent: dict[str, Any]) -> Usage:
    cached = (sent.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Usage(prompt=sent["prompt_tokens"], completion=sent["completion_tokens"], cached=cached)


def _rows(db: Transaction, call_ids: Sequence[str]) -> dict[str, Row]:
    marks = ", ".join("?" * len(call_ids))
    sql = f"SELECT id, state, outcome, charge, uncollected FROM calls WHERE id IN ({marks})"  # noqa: S608 - marks
    tenants = db.all("SELECT id FROM tenants")
    found: dict[str, Row] = {}
    for (tenant_id,) in tenants:  # the index begins with the tenant
        found |= {row[0]: Row(*row[1:]) for row in db.all(f"{sql} AND tenant_id = ?", *call_ids, tenant_id)}
    return found


def _open_holds(db: Transaction) -> int:
    row = db.one("SELECT COUNT(*) FROM calls WHERE state = 'held'")
    return int(row[0]) if row else 0
