"""What must be true when a day is over. Each check lists what is wrong; `faults` asks them all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from app.core.sends import GONE
from tests.books import faults as book_faults
from tests.books import open_holds
from tests.channels.day.checks_inputs import forgotten_changes, turns_astray, undisposed, unfounded, unstored
from tests.channels.day.checks_sends import (
    out_of_order,
    outside_the_window,
    over_people,
    said_twice,
    too_fast,
    unasked,
    unsettled,
)
from tests.channels.day.checks_voice import misheard, misspoken, overspoken
from tests.channels.day.model import COST
from tests.channels.day.world import Day


def miscounted(day: Day) -> Iterator[str]:
    """Each leg of a turn is paid for once, nothing else is, and the books balance."""
    legs = day.rows(
        "SELECT l.turn_id, l.leg, c.state, c.charge FROM turn_legs l LEFT JOIN calls c "
        "ON c.tenant_id = l.tenant_id AND c.id = l.call_id WHERE l.leg LIKE 'llm:%'"
    )
    yield from (f"{leg} is {state} for {charge}" for *leg, state, charge in legs if (state, charge) != ("posted", COST))
    charged = day.rows("SELECT COUNT(*), COALESCE(SUM(charge), 0) FROM calls WHERE category = 'llm' AND charge > 0")[0]
    if charged != (len(legs), COST * len(legs)):
        yield f"{len(legs)} legs, {charged[0]} charges of {charged[1]} in all"
    unpaid = day.rows(
        "SELECT t.id FROM turns t WHERE t.state = 'answered' AND NOT EXISTS "
        "(SELECT 1 FROM turn_legs l WHERE l.tenant_id = t.tenant_id AND l.turn_id = t.id)"
    )
    yield from (f"turn {row[0]} was free" for row in unpaid)
    templates = day.rows("SELECT COUNT(*) FROM sends WHERE kind = 'template' AND state IN ('delivered', 'read')")[0][0]
    paid = day.rows("SELECT COUNT(*) FROM calls WHERE category = 'message' AND charge > 0")[0][0]
    if paid != templates:
        yield f"{templates} templates arrived, {paid} were paid for"
    yield from (f"the books: {name}: {rows}" for name, rows in book_faults(day.view).items())
    if open_holds(day.view):
        yield f"{open_holds(day.view)} holds are open"


def restless(day: Day) -> Iterator[str]:
    """Nothing waits, nobody works, no webhook is on its way."""
    if not day.rested:
        yield "something was due still"
    for conversation_id, due_us, owner in day.rows(
        "SELECT conversation_id, due_at, owner FROM lanes WHERE due_at IS NOT NULL OR owner <> ''"
    ):
        yield f"the lane of {conversation_id} is due at {due_us}, owned by {owner!r}"
    for turn_id, attempts in day.rows("SELECT id, attempts FROM turns WHERE state = 'running'"):
        yield f"turn {turn_id} runs for ever, at its attempt {attempts}"
    waiting = day.rows("SELECT COUNT(*) FROM inbox WHERE state = 'pending'")[0][0]
    if waiting:
        yield f"{waiting} updates were not sorted"
    for business in day.businesses:
        lost = Counter(posted.outcome for posted in day.number(business.account).posted)
        del lost["delivered"]
        if business.provider == "twilio":  # which gives up, as it says
            del lost["gave_up"]
        if lost:
            yield f"webhooks of {business.account}: {dict(lost)}"


def dead(day: Day) -> Iterator[str]:
    """Nothing that came was beyond us; nothing of ours was refused for what it is, unless the script said so."""
    faulty = {sent.reference for each in day.businesses for sent in day.number(each.account).sends if sent.fault}
    for reason, body in day.rows("SELECT reason, body FROM dead_letters"):
        refused = msgspec.json.decode(body).get("send_id", "") if reason.startswith("refused:") else ""
        if refused not in faulty:
            yield f"dead letter: {reason}: {body[:200]}"


def crashed(day: Day) -> Iterator[str]:
    """No code of ours met what nobody had thought of."""
    yield from day.crashed


def untold(day: Day) -> Iterator[str]:
    """Webhooks hear once of each message that came, and once of each that went."""
    events: dict[str, Counter[str]] = defaultdict(Counter)
    for event, body in day.rows(
        "SELECT event, body FROM deliveries WHERE event IN ('message.received', 'message.sent')"
    ):
        events[event][msgspec.json.decode(body)["data"]["message_id"]] += 1
    came = {row[0] for row in day.rows("SELECT id FROM messages WHERE role = 'user' AND message_type <> 'call'")}
    parts: dict[str, set[str]] = defaultdict(set)
    for message_id, state in day.rows("SELECT message_id, state FROM sends WHERE reason <> 'superseded'"):
        parts[message_id].add(state)
    went = {message_id for message_id, states in parts.items() if states <= GONE}
    for event, wanted in (("message.received", came), ("message.sent", went)):
        heard = events[event]
        yield from (f"{event} of {each} was told {heard[each]} times" for each in wanted if heard[each] != 1)
        yield from (f"{event} of {each} was told {times} times" for each, times in heard.items() if times > 1)


CHECKS: Final[tuple[Callable[[Day], Iterator[str]], ...]] = (
    *(unstored, undisposed, unfounded, turns_astray, forgotten_changes, misheard, misspoken, overspoken),
    *(said_twice, out_of_order, miscounted, outside_the_window, over_people, too_fast, unsettled, unasked),
    *(restless, dead, crashed, untold),
)


def faults(day: Day) -> dict[str, list[str]]:
    """Everything that is wrong, by check; empty after a good day."""
    found = {check.__name__: list(check(day)) for check in CHECKS}
    return {name: wrong for name, wrong in found.items() if wrong}
