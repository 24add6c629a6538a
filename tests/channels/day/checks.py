"""What must be true when a day is over. Each check lists what is wrong; `faults` asks them all."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from app.core.sends import FURTHER, GONE
from scripts.simulator.whatsapp.state import Sent
from tests.books import faults as book_faults
from tests.books import open_holds
from tests.channels.day.model import COST, TOKEN
from tests.channels.day.world import Day

ANSWER: Final = re.compile(r"answer \d+n to ((?:q\d+z ?)*)")
#: What users say that is stored as a message.
MESSAGES: Final = frozenset(
    {"text", "image", "voice", "audio", "video", "document", "sticker", "location", "contacts", "button", "list"}
    | {"template_button", "flow", "order", "unsupported", "welcome", "call"}
)
#: Why a message may stay unanswered; some of it only where the script gave cause.
REASONS: Final = frozenset(
    {"answered", "human", "unsupported", "bot_off", "no_credits", "too_late", "failed", "revoked", "loop"}
    | {"window_closed", "handoff"}
)
SLACK_US: Final = 200_000
SHUT_EARLY_S: Final = 60.0
#: The provider's clock and the way there.
WAY_S: Final = 1.5


def unstored(day: Day) -> Iterator[str]:
    """Every message that was told, exactly once."""
    stored = Counter(row[0] for row in day.rows("SELECT provider_id FROM messages WHERE role = 'user'"))
    told = {message_id for message_id, spoken in day.spoken.items() if spoken.saying.type in MESSAGES}
    yield from (f"{each} is stored {stored[each]} times" for each in sorted(told) if stored[each] != 1)
    yield from (f"{each} was never told" for each in stored.keys() - told)


def undisposed(day: Day) -> Iterator[str]:
    """Each is answered or has a reason that may be."""
    for provider_id, disposition in day.rows("SELECT provider_id, disposition FROM messages WHERE role = 'user'"):
        if disposition not in REASONS:
            yield f"{provider_id} is {disposition!r}"


def unfounded(day: Day) -> Iterator[str]:
    """No reason without a cause."""
    silenced = {conversation for conversation, _ in day.silenced}
    poor = {each.tenant_id for each in day.businesses if each.account == "3001"}
    keywords = {"agent"}
    sql = (
        "SELECT m.provider_id, m.disposition, m.tenant_id, m.conversation_id, v.bot_id, m.content, m.message_type, "
        "COALESCE(t.attempts, 0), COALESCE(t.id, '') FROM messages m JOIN conversations v ON v.tenant_id = m.tenant_id "
        "AND v.id = m.conversation_id LEFT JOIN turns t ON t.tenant_id = m.tenant_id AND t.id = m.turn_id "
        "WHERE m.role = 'user'"
    )
    handed = {
        row[0] for row in day.rows("SELECT conversation_id FROM messages WHERE disposition IN ('handoff', 'loop')")
    }
    handed |= {row[0] for row in day.rows("SELECT conversation_id FROM turns WHERE state = 'failed'")}
    handed |= {
        row[0]
        for row in day.rows(
            "SELECT t.conversation_id FROM turns t JOIN turn_legs l ON l.turn_id = t.id AND l.result LIKE '%handoff%'"
        )
    }
    for provider_id, why, tenant_id, conversation_id, bot_id, content, kind, attempts, turn_id in day.rows(sql):
        spoken = day.spoken[provider_id]
        causes = {
            "human": conversation_id in silenced | handed,
            "bot_off": bot_id in day.switched,
            "no_credits": tenant_id in poor,
            "failed": turn_id in day.model.troubled or attempts > 1,
            "handoff": bool(keywords & {content.strip(".").lower()})
            or any(word in keywords for word in _words_beside(day, conversation_id)),
            "unsupported": kind not in ("text", "button", "list", "flow", "location"),
            "window_closed": spoken.account == "2001"
            or day.rows("SELECT 1 FROM sends WHERE conversation_id = ? AND error LIKE '131047%'", conversation_id)
            != [],
        }
        if not causes.get(why, True):
            yield f"{provider_id} is {why} without a cause"


def _words_beside(day: Day, conversation_id: str) -> list[str]:
    rows = day.rows("SELECT content FROM messages WHERE conversation_id = ? AND role = 'user'", conversation_id)
    return [row[0].strip(".").lower() for row in rows]


def turns_astray(day: Day) -> Iterator[str]:
    """What is answered is answered by one turn, which says one thing."""
    turns = {row[0]: row for row in day.rows("SELECT id, state, inputs FROM turns")}
    answered = day.rows(
        "SELECT id, turn_id FROM messages WHERE role = 'user' AND disposition = 'answered' "
        "AND message_type <> 'welcome'"
    )
    for message_id, turn_id in answered:
        turn = turns.get(turn_id)
        if turn is None or turn[1] != "answered" or message_id not in msgspec.json.decode(turn[2]):
            yield f"message {message_id} is answered by {turn}"
    inputs = Counter(
        name for _, state, names in turns.values() if state == "answered" for name in msgspec.json.decode(names)
    )
    yield from (f"message {name} is answered by {times} turns" for name, times in inputs.items() if times > 1)
    said = Counter(row[0] for row in day.rows("SELECT turn_id FROM messages WHERE role = 'assistant'"))
    for turn_id, state, _ in turns.values():
        if (said[turn_id] != 1) if state == "answered" else said[turn_id]:
            yield f"turn {turn_id}, which is {state}, says {said[turn_id]} things"
    yield from (f"turn {turn_id} has no message of {token}" for turn_id, token in day.model.forgotten)


def said_twice(day: Day) -> Iterator[str]:
    """Nothing reaches a phone twice, neither one of our rows nor the answer to one question."""
    for business in day.businesses:
        accepted = _accepted(day, business.account)
        if not business.resends:
            references = Counter(sent.reference for sent in accepted)
            yield from (f"{each} reached its phone {times} times" for each, times in references.items() if times > 1)
        answers: dict[str, set[str]] = defaultdict(set)
        for sent in accepted:
            found = ANSWER.match(sent.text)
            for token in TOKEN.findall(found[1]) if found else ():
                answers[token].add(sent.text)
        yield from (f"{token} was answered {len(texts)} times" for token, texts in answers.items() if len(texts) > 1)


def out_of_order(day: Day) -> Iterator[str]:
    """A phone gets what is said in a conversation in the order in which it was said."""
    places = {row[0]: row[1:] for row in day.rows("SELECT id, conversation_id, seq FROM sends")}
    for business in day.businesses:
        last: dict[str, int] = {}
        for sent in _accepted(day, business.account):
            conversation_id, seq = places[sent.reference]
            if seq < last.get(conversation_id, 0):
                yield f"{sent.reference} came after what was said later"
            last[conversation_id] = seq


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


def outside_the_window(day: Day) -> Iterator[str]:
    """Nothing but templates is even asked for in the last minute before the window shuts, or after."""
    for leaving in day.leaving:
        if leaving.kind != "template" and leaving.window_left_s < SHUT_EARLY_S - WAY_S:
            yield f"{leaving.reference} left {leaving.window_left_s:.1f} s before the window shut"


def over_people(day: Day) -> Iterator[str]:
    """The bot says nothing while a person has taken over."""
    taken: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for conversation_id, at_us in day.silenced:
        taken[conversation_id].append((at_us, 0))
    for conversation_id, at_us in day.resumed:
        taken[conversation_id].append((at_us, 1))
    for leaving in day.leaving:
        if leaving.origin != "reply" or leaving.autoreply:
            continue
        before = [each for each in sorted(taken[leaving.conversation_id]) if each[0] < leaving.at_us - SLACK_US]
        since = [each for each in taken[leaving.conversation_id] if each[1] and abs(each[0] - leaving.at_us) < SLACK_US]
        if before and before[-1][1] == 0 and not since:
            yield f"{leaving.reference} left {(leaving.at_us - before[-1][0]) / 1e6:.1f} s after a person took over"


def too_fast(day: Day) -> Iterator[str]:
    """The provider never has cause to say so."""
    for business in day.businesses:
        for sent in day.number(business.account).sends:
            if sent.code in (130429, 131056, 131047) and not sent.fault:
                yield f"{sent.reference} was refused for {sent.code} of its own account"


def unsettled(day: Day) -> Iterator[str]:
    """Everything that was to go out has an end, and it is what the provider says."""
    rows = {row[0]: row[1:] for row in day.rows("SELECT id, state, reason, number_id, origin FROM sends")}
    allowed = GONE | {"failed", "dropped"}
    yield from (f"send {each} is {row[0]}" for each, row in rows.items() if row[0] not in allowed)
    yield from (f"send {each} was dropped for nothing" for each, row in rows.items() if row[:2] == ("dropped", ""))
    accepted = {sent.reference: sent for each in day.businesses for sent in _accepted(day, each.account)}
    for reference, sent in accepted.items():
        told = max((FURTHER.index(status) for _, status in sent.statuses if status != "failed"), default=-1)
        state = rows[reference][0]
        if told >= 0 and (state not in GONE or FURTHER.index(state) < told):
            yield f"send {reference} is {state}, and its phone has {sent.statuses}"
    for reference, (state, *_) in rows.items():
        if state in GONE and reference not in accepted and not _answered_well(day, reference):
            yield f"send {reference} is {state}, and the provider does not know of it"


def _answered_well(day: Day, reference: str) -> bool:
    """The provider said that it had it; that it failed came later, or never."""
    return any(
        sent.reference == reference and sent.fault == "fail_later"
        for each in day.businesses
        for sent in day.number(each.account).sends
    )


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
        if lost:
            yield f"webhooks of {business.account}: {dict(lost)}"


def dead(day: Day) -> Iterator[str]:
    """Nothing that came was beyond us."""
    yield from (f"dead letter: {row[0]}: {row[1][:200]}" for row in day.rows("SELECT reason, body FROM dead_letters"))


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
    for message_id, state in day.rows("SELECT message_id, state FROM sends"):
        parts[message_id].add(state)
    went = {message_id for message_id, states in parts.items() if states <= GONE}
    for event, wanted in (("message.received", came), ("message.sent", went)):
        heard = events[event]
        yield from (f"{event} of {each} was told {heard[each]} times" for each in wanted if heard[each] != 1)
        yield from (f"{event} of {each} was told {times} times" for each, times in heard.items() if times > 1)


def _accepted(day: Day, account: str) -> list[Sent]:
    return [sent for sent in day.number(account).sends if sent.outcome == "accepted"]


CHECKS: Final[tuple[Callable[[Day], Iterator[str]], ...]] = (
    *(unstored, undisposed, unfounded, turns_astray, said_twice, out_of_order, miscounted, outside_the_window),
    *(over_people, too_fast, unsettled, restless, dead, crashed, untold),
)


def faults(day: Day) -> dict[str, list[str]]:
    """Everything that is wrong, by check; empty after a good day."""
    found = {check.__name__: list(check(day)) for check in CHECKS}
    return {name: wrong for name, wrong in found.items() if wrong}
