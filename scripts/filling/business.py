"""An organisation for the rows to belong to, and the sums that the gateway would have kept while they were made."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from app.core.identity import new_uuid
from app.core.sealing import Sealer
from app.core.times import DAY_US
from app.storage import bots, keys, ledger, tenants, webhooks
from app.storage.bots import StoredBot
from app.storage.database import Transaction
from app.storage.keys import KeySettings
from app.storage.webhooks import StoredWebhook
from scripts.filling import rows
from scripts.filling.rows import Owner, Row
from scripts.filling.sink import Sink

#: By this every organisation that was filled is known.
NAME: Final = "Filled "
PORTION: Final = 20_000
BALANCE_UCR: Final = 10**15
MEMBERS, KEYS, BOTS = 300, 50, 30
_USAGE: Final = """
    INSERT INTO usage_days SELECT tenant_id, opened_at / 86400000000, key_id, category, model,
    COUNT(CASE WHEN outcome = 'completed' THEN 1 END), COUNT(CASE WHEN outcome = 'cancelled' THEN 1 END),
    COUNT(CASE WHEN outcome = 'failed' THEN 1 END), COUNT(CASE WHEN outcome = 'interrupted' THEN 1 END),
    SUM(charge), SUM(uncollected), COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0),
    COALESCE(SUM(audio_ms), 0), SUM(CASE WHEN outcome = 'interrupted' THEN 0 ELSE ended_at - opened_at END)
    FROM calls WHERE tenant_id = ? GROUP BY tenant_id, opened_at / 86400000000, key_id, category, model"""
_LEDGER: Final = """
    INSERT INTO ledger_days (tenant_id, day, type, entries, amount)
    SELECT tenant_id, created_at / 86400000000, type, COUNT(*), SUM(amount) FROM ledger_entries
    WHERE tenant_id = ? AND kind = 'charge' GROUP BY tenant_id, created_at / 86400000000, type"""
_MONTHS: Final = """
    INSERT INTO month_calls (tenant_id, month, category, ended)
    SELECT tenant_id, month, category, COUNT(CASE WHEN outcome = 'completed' THEN 1 END)
    FROM calls WHERE tenant_id = ? GROUP BY tenant_id, month, category"""
_BALANCE: Final = """
    UPDATE tenants SET balance = (SELECT SUM(amount) FROM ledger_entries e WHERE e.tenant_id = tenants.id)
    WHERE id = ?"""


def make_owner(db: Transaction, name: str, secret: str, now_us: int) -> Owner:
    """An organisation of three months, with members, keys, bots and a webhook that is switched off."""
    began = now_us - rows.DAYS * DAY_US
    tenant_id, _ = tenants.upsert_tenant(db, name, "enterprise", None, began)
    ledger.credit(db, tenant_id, "purchase", BALANCE_UCR, "start", began)
    for number in range(MEMBERS):
        role = "agent" if number else "owner"
        tenants.upsert_member(db, tenant_id, f"{number}.{tenant_id}@example.com", "Somebody", role, "", began + number)
    made = [
        keys.create_key(db, tenant_id, secret.encode(), KeySettings(f"key {number}", scopes="*"), began + number)
        for number in range(KEYS)
    ]
    bot_ids = [new_uuid(began + number) for number in range(BOTS)]
    for number, bot_id in enumerate(bot_ids):
        at_us = began + number
        bots.insert_bot(db, tenant_id, StoredBot(bot_id, "whatsapp", "Asha", "Be kind.", "{}", "", True, at_us, at_us))
    sealed = Sealer(secret).seal(b"whsec_nobody", "filled")
    webhook = StoredWebhook(
        *(new_uuid(began), "https://example.com/hook", "", "message.received", False, sealed, "", 0, began, began)
    )
    webhooks.insert_webhook(db, tenant_id, webhook)
    return Owner(tenant_id, tuple(key_id for key_id, _ in made), tuple(bot_ids), webhook.id, now_us)


def fill(sink: Sink, owner: Owner, count: int, chance: random.Random, tell: Callable[[str, int], None]) -> None:
    """So many calls, conversations, messages and deliveries, a portion a transaction; books that balance at the end."""
    balance = BALANCE_UCR

    def put_calls(portion: list[Row]) -> None:
        nonlocal balance
        sink.put("calls", rows.CALL_COLUMNS, portion)
        charged = rows.charges(portion, balance)
        balance += sum(entry[rows.ENTRY_COLUMNS.index("amount")] for entry in charged)
        sink.put("ledger_entries", rows.ENTRY_COLUMNS, charged)

    _put_all(sink, "calls", rows.calls(owner, count, chance), put_calls, tell)
    sink.begin()
    for sql in (_USAGE, _LEDGER, _MONTHS, _BALANCE):
        sink.db.do(sql, owner.tenant_id)
    sink.commit()
    talks = list(rows.conversations(owner, count, chance))
    written = [talk[1] for talk in talks]
    for table, columns, made in (
        ("conversations", rows.CONVERSATION_COLUMNS, iter(talks)),
        ("messages", rows.MESSAGE_COLUMNS, rows.messages(owner, written, count, chance)),
        ("deliveries", rows.DELIVERY_COLUMNS, rows.deliveries(owner, count, chance)),
    ):
        _put_all(sink, table, made, _putting(sink, table, columns), tell)


def _putting(sink: Sink, table: str, columns: Sequence[str]) -> Callable[[list[Row]], None]:
    return lambda portion: sink.put(table, columns, portion)


def _put_all(
    sink: Sink, table: str, made: Iterator[Row], put: Callable[[list[Row]], Any], tell: Callable[[str, int], None]
) -> None:
    done = 0
    for portion in _portions(made):
        sink.begin()
        put(portion)
        sink.commit()
        done += len(portion)
        tell(table, done)


def _portions(made: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(made)
    while portion := list(islice(source, PORTION)):
        yield portion
