"""Holds, settlements and grants: the statements that move money. Each function is a job for one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from app.core import ledger
from app.core.allowance import Allowance
from app.core.call_facts import NOTHING, UNMARKED, Marks, Measured
from app.core.errors import Problem
from app.core.identity import Principal
from app.core.ledger import Basis, Limits, Outcome, Settlement, Standing, State, month_of
from app.storage import alerting, usage_days
from app.storage.database import Transaction
from app.storage.entries import Entry, append
from app.storage.usage_days import EndedCall


class StaleKey(Exception):
    """The key or its tenant changed since it was read (or is gone): read it again and check again."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A call that wants to start."""

    id: str
    request_id: str
    endpoint: str
    category: str
    model: str
    streamed: bool
    hold: int
    at_us: int
    expires_us: int
    marks: Marks = UNMARKED


@dataclass(frozen=True, slots=True)
class Closing:
    """How a call ended and what it cost; `cost` is what the usage is worth before the balance is looked at."""

    state: State
    outcome: Outcome
    cost: int
    basis: Basis
    rule: str
    receipt: str
    at_us: int
    #: The code of `app.core.errors` that a failed call ended with.
    failure: str = ""
    measured: Measured = NOTHING

    def unpaid(self) -> Closing:
        """The same ending for a call whose client was told that it failed: our fault is free (B13)."""
        if self.state == "voided":
            return self
        failure = "storage_unavailable"
        return replace(self, state="voided", outcome="failed", cost=0, basis="none", rule="B13", failure=failure)

    @classmethod
    def unasked(cls, at_us: int) -> Closing:
        """For a hold that was taken too late: its caller has been refused already (B1)."""
        return cls("voided", "failed", 0, "none", "B1", "", at_us, "storage_unavailable")


@dataclass(frozen=True, slots=True)
class Ending:
    """The one final state of a call. Ending it twice returns the first ending."""

    state: State
    charge: int
    uncollected: int
    basis: Basis
    #: What the tenant has left, in ucr.
    balance: int = field(default=0, compare=False)


_STANDING = """
    SELECT k.version, k.is_active, k.expires_at, k.tat, k.in_flight,
           CASE WHEN k.spent_month = ? THEN k.spent ELSE 0 END, k.held,
           t.status, t.version, t.balance, t.held, t.budget,
           CASE WHEN t.spent_month = ? THEN t.spent ELSE 0 END, COALESCE(m.ended, 0), COALESCE(m.open, 0)
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
    LEFT JOIN month_calls m ON m.tenant_id = t.id AND m.month = ? AND m.category = ?
    WHERE k.tenant_id = ? AND k.id = ?"""


def admit(db: Transaction, tenant_id: str, principal: Principal, limits: Limits, opening: Opening) -> Allowance:
    """Check everything that may refuse a call and take its hold, in one transaction (design.md section 4.3).

    Raises Problem with the refusal, StaleKey when the key must be read again; nothing is written then.
    """
    month = month_of(opening.at_us)
    row = db.one(_STANDING, month, month, month, opening.category, tenant_id, principal.key_id)
    if row is None:
        raise StaleKey
    standing = Standing(*row)
    if standing.key_version + standing.tenant_version != principal.version or not _lives(standing, opening.at_us):
        raise StaleKey
    allowance = ledger.admit(standing, limits, opening.hold, opening.at_us)
    db.do(
        "UPDATE api_keys SET tat = ?, in_flight = in_flight + 1, held = held + ? WHERE tenant_id = ? AND id = ?",
        *(allowance.rate.tat_us, opening.hold, tenant_id, principal.key_id),
    )
    db.do("UPDATE tenants SET held = held + ? WHERE id = ?", opening.hold, tenant_id)
    db.do(
        "INSERT INTO month_calls (tenant_id, month, category, open) VALUES (?, ?, ?, 1) "
        "ON CONFLICT (tenant_id, month, category) DO UPDATE SET open = month_calls.open + 1",
        *(tenant_id, month, opening.category),
    )
    db.do(
        "INSERT INTO calls (tenant_id, id, key_id, request_id, endpoint, category, model, streamed, month, opened_at, "
        "hold, expires_at, session_id, trace_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(tenant_id, opening.id, principal.key_id, opening.request_id, opening.endpoint, opening.category),
        *(opening.model, int(opening.streamed), month, opening.at_us, opening.hold, opening.expires_us),
        *(opening.marks.session_id, opening.marks.trace_id),
    )
    return allowance


def _lives(standing: Standing, at_us: int) -> bool:
    """Whether key and tenant may call at all; reading the key again tells why not."""
    expired = standing.key_expires_us is not None and standing.key_expires_us <= at_us
    return standing.key_active and not expired and standing.tenant_status == "active"


def extend(db: Transaction, tenant_id: str, call_id: str, more: int, expires_us: int) -> int:
    """Grow an open hold by `more`, or by what the free balance and the budgets still bear; returns by how much."""
    row = db.one(
        "SELECT c.key_id, t.balance - t.held, "
        "t.budget - t.held - CASE WHEN t.spent_month = c.month THEN t.spent ELSE 0 END, "
        "k.budget - k.held - CASE WHEN k.spent_month = c.month THEN k.spent ELSE 0 END "
        "FROM calls c JOIN tenants t ON t.id = c.tenant_id JOIN api_keys k ON k.id = c.key_id "
        "WHERE c.tenant_id = ? AND c.id = ? AND c.state = 'held'",
        *(tenant_id, call_id),
    )
    if row is None:
        return 0
    key_id, *rooms = row
    granted: int = min(more, *(room for room in rooms if room is not None))
    if granted <= 0:
        return 0
    db.do("UPDATE tenants SET held = held + ? WHERE id = ?", granted, tenant_id)
    db.do("UPDATE api_keys SET held = held + ? WHERE tenant_id = ? AND id = ?", granted, tenant_id, key_id)
    db.do(
        "UPDATE calls SET hold = hold + ?, expires_at = ? WHERE tenant_id = ? AND id = ?",
        *(granted, expires_us, tenant_id, call_id),
    )
    return granted


def renew(db: Transaction, tenant_id: str, call_ids: Sequence[str], expires_us: int) -> None:
    """Let the holds of these calls live until `expires_us`; what has ended stays as it is."""
    for call_id in call_ids:
        db.do(
            "UPDATE calls SET expires_at = ? WHERE tenant_id = ? AND id = ? AND state = 'held'",
            *(expires_us, tenant_id, call_id),
        )


#: Only forward: an ending that was stamped just before the turn of the month may be written after it.
_SPEND = """
    spent = CASE WHEN spent_month = ? THEN spent + ? WHEN spent_month < ? THEN ? ELSE spent END,
    spent_month = CASE WHEN spent_month < ? THEN ? ELSE spent_month END"""


def end(db: Transaction, tenant_id: str, call_id: str, closing: Closing) -> Ending:
    """End a call's hold, charge it and write its final row; a call that has ended already keeps its first ending."""
    row = db.one(
        "SELECT c.state, c.charge, c.uncollected, c.basis, c.hold, c.key_id, c.month, c.category, c.model, "
        f"c.opened_at, t.balance, t.held, {alerting.COLUMNS} FROM calls c JOIN tenants t ON t.id = c.tenant_id "
        "LEFT JOIN api_keys k ON k.id = c.key_id WHERE c.tenant_id = ? AND c.id = ?",
        *(tenant_id, call_id),
    )
    if row is None:
        raise LookupError(call_id)
    state, charge, uncollected, basis, hold, key_id, month, category, model, opened_us, balance, held, *standing = row
    if state != "held":
        return Ending(state, charge, uncollected, basis, balance)
    money = ledger.settle(closing.cost, hold, balance, held) if closing.state == "posted" else Settlement(0, 0)
    used = closing.measured
    db.do(
        "UPDATE calls SET state = ?, ended_at = ?, outcome = ?, charge = ?, uncollected = ?, basis = ?, rule = ?, "
        "receipt = ?, failure = ?, input_tokens = ?, output_tokens = ?, audio_ms = ? WHERE tenant_id = ? AND id = ?",
        *(closing.state, closing.at_us, closing.outcome, money.charge, money.uncollected, closing.basis, closing.rule),
        *(closing.receipt, closing.failure, used.input_tokens, used.output_tokens, used.audio_ms, tenant_id, call_id),
    )
    spent = month_of(closing.at_us)
    db.do(
        f"UPDATE tenants SET balance = balance - ?, held = held - ?, {_SPEND} WHERE id = ?",
        *(money.charge, hold, spent, money.charge, spent, money.charge, spent, spent, tenant_id),
    )
    db.do(
        f"UPDATE api_keys SET in_flight = in_flight - 1, held = held - ?, {_SPEND} WHERE tenant_id = ? AND id = ?",
        *(hold, spent, money.charge, spent, money.charge, spent, spent, tenant_id, key_id),
    )
    db.do(
        "UPDATE month_calls SET open = open - 1, ended = ended + ? WHERE tenant_id = ? AND month = ? AND category = ?",
        *(int(closing.outcome == "completed"), tenant_id, month, category),
    )
    ended = EndedCall(
        key_id=key_id,
        category=category,
        model=model,
        opened_us=opened_us,
        ended_us=closing.at_us,
        outcome=closing.outcome,
        charge=money.charge,
        uncollected=money.uncollected,
        measured=used,
    )
    usage_days.count(db, tenant_id, ended)
    if money.charge:
        append(db, tenant_id, Entry("charge", -money.charge, call_id), closing.at_us)
        alerting.tell_charge(db, tenant_id, standing, money.charge, balance, closing.at_us)
    return Ending(closing.state, money.charge, money.uncollected, closing.basis, balance - money.charge)


def credit(db: Transaction, tenant_id: str, kind: str, amount: int, ref: str, at_us: int, note: str = "") -> bool:
    """Add credits once per (tenant, kind, ref), or with a negative amount take some. False for a known reference.

    Raises Problem for a tenant that is not there, and when less would be left than running calls hold.
    """
    known = "SELECT 1 FROM ledger_entries WHERE tenant_id = ? AND kind = ? AND ref = ?"
    if db.one(known, tenant_id, kind, ref) is not None:
        return False
    moved = "UPDATE tenants SET balance = balance + ? WHERE id = ? AND balance + ? >= held"
    if not db.run(moved, amount, tenant_id, amount):
        whole, held = balance(db, tenant_id)
        free = f"{(whole - held) / 1e6:.6f} credits"
        if not held:
            raise Problem("conflict", f"The balance is {free}: take at most those.")
        raise Problem("conflict", f"Running calls hold the rest: take at most {free}, or wait until they end.")
    append(db, tenant_id, Entry(kind, amount, ref, note), at_us)
    return True


def balance(db: Transaction, tenant_id: str) -> tuple[int, int]:
    """(balance, held) in ucr."""
    row = db.one("SELECT balance, held FROM tenants WHERE id = ?", tenant_id)
    if row is None:
        raise Problem("not_found", "There is no such organisation.")
    return row[0], row[1]


def expired(db: Transaction, at_us: int, limit: int) -> Iterable[tuple[str, str]]:
    """(tenant, call) of holds that outlived their call: the process that took them is gone."""
    sql = "SELECT tenant_id, id FROM calls WHERE state = 'held' AND expires_at < ? ORDER BY expires_at LIMIT ?"
    return [(row[0], row[1]) for row in db.all(sql, at_us, limit)]


def open_holds(db: Transaction, at_us: int) -> tuple[int, int, int]:
    """(open holds, those past their expiry, when the oldest was taken or 0): what an operator watches."""
    sql = "SELECT COUNT(*), COUNT(CASE WHEN expires_at < ? THEN 1 END), MIN(opened_at) FROM calls WHERE state = 'held'"
    count, overdue, oldest_us = db.all(sql, at_us)[0]
    return count, overdue, oldest_us or 0


#: Open calls are few and have an index; for `c.tenant_id = t.id` SQLite would go through all calls of the tenant.
INVARIANTS = """
    SELECT t.id FROM tenants t WHERE (t.held < 0 OR t.held > t.balance
    OR t.balance <> (SELECT COALESCE(SUM(amount), 0) FROM ledger_entries e WHERE e.tenant_id = t.id)
    OR t.balance <> (SELECT COALESCE(SUM(amount), 0) FROM ledger_days d WHERE d.tenant_id = t.id)
    OR (SELECT COALESCE(SUM(charge), 0) FROM usage_days u WHERE u.tenant_id = t.id) <>
        -(SELECT COALESCE(SUM(amount), 0) FROM ledger_days d WHERE d.tenant_id = t.id AND d.type = 'deduction')
    OR t.held <> (SELECT COALESCE(SUM(hold), 0) FROM calls c WHERE c.state = 'held' AND c.tenant_id || '' = t.id)
    OR EXISTS (SELECT 1 FROM api_keys k WHERE k.tenant_id = t.id AND (
        k.in_flight <> (SELECT COUNT(*) FROM calls c
                        WHERE c.state = 'held' AND c.tenant_id || '' = t.id AND c.key_id = k.id)
        OR k.held <> (SELECT COALESCE(SUM(hold), 0) FROM calls c
                      WHERE c.state = 'held' AND c.tenant_id || '' = t.id AND c.key_id = k.id)))
    OR EXISTS (SELECT 1 FROM calls c WHERE c.tenant_id = t.id AND c.charge <> -COALESCE(
        (SELECT SUM(amount) FROM ledger_entries e WHERE e.tenant_id = t.id AND e.kind = 'charge' AND e.ref = c.id), 0)))
"""


def broken_tenants(db: Transaction) -> list[str]:
    """Tenants whose books do not balance (design.md section 2.1). Always empty, or there is a bug."""
    return [row[0] for row in db.all(INVARIANTS)]


def is_broken(db: Transaction, tenant_id: str) -> bool:
    """The same for one tenant."""
    return db.one(INVARIANTS + " AND t.id = ?", tenant_id) is not None
