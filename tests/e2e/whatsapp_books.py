"""WhatsApp's two accounts of the same day, held against each other: the provider's book and the gateway's rows.

Each function yields what is wrong, in words; nothing is, when every message was dealt with once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from app.core.sends import GONE
from app.storage.database import Transaction
from scripts.simulator.whatsapp.state import Number, Sent
from tests.books import faults, open_holds

#: Why a message may stay without an answer of its own.
REASONS: Final = frozenset({"failed", "unheard", "unsupported", "human", "loop", "too_late", "no_credits"})


def wrongs(db: Transaction, numbers: Iterable[Number]) -> list[str]:
    """Everything that is wrong, of all numbers."""
    found = [f"{name}: {rows}" for name, rows in faults(db).items()]
    found += [f"{open_holds(db)} holds are open"] if open_holds(db) else []
    found += [*unrest(db), *wrong_turns(db), *wrong_charges(db)]
    for number in numbers:
        found += [
            *undelivered(number),
            *lost_or_doubled(db, number),
            *sent_twice_or_never(db, number),
            *out_of_order(db, number),
        ]
    return found


def unrest(db: Transaction) -> Iterator[str]:
    """What still waits for somebody."""
    for what, sql in {
        "inbox": "SELECT event_key, kind, state, error FROM inbox WHERE state <> 'done'",
        "lane": "SELECT conversation_id, due_at, owner FROM lanes WHERE due_at IS NOT NULL OR owner <> ''",
        "send": "SELECT id, state FROM sends WHERE state IN ('making', 'queued', 'sending', 'unknown')",
        "turn": "SELECT id, attempts FROM turns WHERE state = 'running'",
        "dead letter": "SELECT reason, body FROM dead_letters",
    }.items():
        yield from (f"{what} {row}" for row in db.all(sql))


def undelivered(number: Number) -> Iterator[str]:
    """Webhooks that nobody has taken. Twilio gives up soon, as it says."""
    for post in number.posted:
        if post.outcome != "delivered" and (number.provider, post.outcome) != ("twilio", "gave_up"):
            yield f"{post.about} was posted {post.attempts} times and is {post.outcome}: {post.status}"


def lost_or_doubled(db: Transaction, number: Number) -> Iterator[str]:
    """Each message that was written is there once, and was answered or has a reason not to be. What Twilio could not
    tell may be missing.
    """
    rows: dict[str, list[str]] = defaultdict(list)
    for provider_id, disposition in db.all("SELECT provider_id, disposition FROM messages WHERE role = 'user'"):
        rows[provider_id].append(disposition)
    told = {post.about.rpartition(" ")[2] for post in number.posted if post.outcome == "delivered"}
    for said in number.said:
        came = rows.get(said.id, [])
        if not came and number.provider == "twilio" and said.id not in told:
            continue
        if len(came) != 1 or came[0] not in REASONS | {"answered"}:
            yield f"{said.user} wrote {said.text!r}, and there is {came or 'nothing'}"


def wrong_turns(db: Transaction) -> Iterator[str]:
    """A turn that was answered has its messages and one answer, and no message has two turns."""
    answers = Counter(row[0] for row in db.all("SELECT turn_id FROM messages WHERE role = 'assistant'"))
    said = Counter(row[0] for row in db.all("SELECT turn_id FROM messages WHERE disposition = 'answered'"))
    for turn_id, state in db.all("SELECT id, state FROM turns"):
        wanted = 1 if state == "answered" else 0
        if answers[turn_id] != wanted or bool(said.pop(turn_id, 0)) != bool(wanted):
            yield f"{turn_id} is {state} and has {answers[turn_id]} answers"
    yield from (f"messages are answered by {turn_id}, which is no turn" for turn_id in said)


def wrong_charges(db: Transaction) -> Iterator[str]:
    """What was charged is what is on record, leg by leg, and each turn that was answered was charged."""
    charged = {row[0] for row in db.all("SELECT id FROM calls WHERE charge > 0")}
    legs = db.all("SELECT turn_id, leg, call_id FROM turn_legs WHERE call_id <> ''")
    recorded = Counter(call_id for _, _, call_id in legs)
    yield from (f"{call_id} was charged, and nothing came of it" for call_id in charged - set(recorded))
    yield from (f"{turn_id} has {leg} for nothing" for turn_id, leg, call_id in legs if call_id not in charged)
    yield from (f"{call_id} was recorded {times} times" for call_id, times in recorded.items() if times > 1)
    paid = Counter(turn_id for turn_id, leg, _ in legs if leg.startswith("llm:"))
    for (turn_id,) in db.all("SELECT id FROM turns WHERE state = 'answered'"):
        if paid[turn_id] != 1:
            yield f"{turn_id} is answered, and was charged {paid[turn_id]} times"


def sent_twice_or_never(db: Transaction, number: Number) -> Iterator[str]:
    """What we say has arrived has reached its phone once; what may have, at most once; nothing else has."""
    reached = Counter(sent.reference for sent in on_phones(number))
    in_silence = set(_failed_in_silence(number))
    for send_id, state, reason in _sends(db, number, "id, state, reason"):
        count = reached.pop(send_id, 0)
        least = 1 if state in GONE and send_id not in in_silence else 0
        most = 1 if state in GONE or reason == "unknown_outcome" else 0
        if not least <= count <= most:
            yield f"{send_id} is {state} {reason}, and its phone got it {count} times"
    yield from (f"{reference!r} reached a phone, and is nothing of ours" for reference in reached)


def out_of_order(db: Transaction, number: Number) -> Iterator[str]:
    """What a phone got came in the order in which it was said."""
    said: dict[str, Any] = dict(_sends(db, number, "id, seq"))
    last: dict[str, int] = {}
    for sent in on_phones(number):
        seq = said.get(sent.reference, 0)
        if seq < last.get(sent.to, 0):
            yield f"{sent.to} got {sent.reference} too late"
        last[sent.to] = seq


def _failed_in_silence(number: Number) -> Iterator[str]:
    """What the provider had taken and could not bring, and whose callback to say so was not taken."""
    told = {post.about for post in number.posted if post.outcome == "delivered"}
    for sent in number.sends:
        if number.provider == "twilio" and sent.outcome == "failed" and f"failed {sent.id}" not in told:
            yield sent.reference


def on_phones(number: Number) -> list[Sent]:
    """What came to users, oldest first."""
    return [sent for sent in number.sends if sent.outcome == "accepted"]


def _sends(db: Transaction, number: Number, columns: str) -> list[tuple[Any, ...]]:
    sql = f"SELECT {columns} FROM sends WHERE number_id IN (SELECT id FROM numbers WHERE account = ?)"  # noqa: S608
    return db.all(sql, number.account)
