"""What must be true of all that goes out: once, in order, in time, and as far as the provider says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from app.core.sends import FURTHER, GONE
from scripts.simulator.whatsapp.state import Sent
from tests.channels.day.houses import TWILIO
from tests.channels.day.provider_book import accepted, answered_tokens, told_statuses, words_of
from tests.channels.day.world import Day

SLACK_US: Final = 200_000
SHUT_EARLY_S: Final = 60.0
#: The provider's clock and the way there.
WAY_S: Final = 1.5
#: What a provider says of its limits: rates, and the window.
LIMITS: Final = frozenset({130429, 131056, 131047, 20429, 63018, 63016})


def said_twice(day: Day) -> Iterator[str]:
    """Nothing reaches a phone twice, neither one of our rows nor the answer to one question, shown or played."""
    for business in day.businesses:
        came = accepted(day, business.account)
        if not business.resends:
            references = Counter(sent.reference for sent in came)
            yield from (f"{each} reached its phone {times} times" for each, times in references.items() if times > 1)
        answers: dict[str, set[str]] = defaultdict(set)
        for sent in came:
            for token in answered_tokens(words_of(day, sent)):
                answers[token].add(sent.reference)
        yield from (f"{token} was answered {len(rows)} times" for token, rows in answers.items() if len(rows) > 1)


def out_of_order(day: Day) -> Iterator[str]:
    """A phone gets what is said in a conversation in the order in which it was said."""
    places = {row[0]: row[1:] for row in day.rows("SELECT id, conversation_id, seq FROM sends")}
    for business in day.businesses:
        last: dict[str, int] = {}
        for sent in accepted(day, business.account):
            conversation_id, seq = places[sent.reference]
            if seq < last.get(conversation_id, 0):
                yield f"{sent.reference} came after what was said later"
            last[conversation_id] = seq


def outside_the_window(day: Day) -> Iterator[str]:
    """Nothing but templates is even asked for in the last minute before the window shuts, or after."""
    for leaving in day.leaving:
        left_s = leaving.window_left_s
        if leaving.kind != "template" and left_s is not None and left_s < SHUT_EARLY_S - WAY_S:
            yield f"{leaving.reference} left {left_s:.1f} s before the window shut"


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
            was_shut = day.shut & {(business.account, name) for name in (sent.to, sent.user_id)}
            if sent.code in LIMITS and not sent.fault and not (was_shut and sent.code == 63016):
                yield f"{sent.reference} was refused for {sent.code} of its own account"


def unsettled(day: Day) -> Iterator[str]:
    """Everything that was to go out has an end, and it is what the provider says."""
    rows = {row[0]: row[1:] for row in day.rows("SELECT id, state, reason, number_id, origin FROM sends")}
    allowed = GONE | {"failed", "dropped"}
    yield from (f"send {each} is {row[0]}" for each, row in rows.items() if row[0] not in allowed)
    yield from (f"send {each} was dropped for nothing" for each, row in rows.items() if row[:2] == ("dropped", ""))
    last: dict[str, Sent] = {}
    came: set[str] = set()
    for business in day.businesses:
        number = day.number(business.account)
        told_us = told_statuses(number)
        for sent in number.sends:
            last[sent.reference] = sent
            state, told = rows[sent.reference][0], told_us(sent)
            if sent.outcome != "accepted":
                continue
            came.add(sent.reference)
            furthest = max((FURTHER.index(status) for status in told if status != "failed"), default=-1)
            if furthest >= 0 and (state not in GONE or FURTHER.index(state) < furthest):
                yield f"send {sent.reference} is {state}, and its phone has {told}"
        for reference, sent in last.items():
            if sent.outcome == "failed" and rows[reference][0] in GONE and "failed" in told_us(sent):
                yield f"send {reference} is {rows[reference][0]}, and has failed for {sent.code}"
    for reference, (state, *_) in rows.items():
        if state in GONE and reference not in came and not _answered_well(last.get(reference)):
            yield f"send {reference} is {state}, and the provider does not know of it"


def unasked(day: Day) -> Iterator[str]:
    """What Twilio has, and lists under words that nothing else has, is found there if nothing tells of it."""
    came = {sent.reference for sent in accepted(day, TWILIO) if answered_tokens(sent.text)}
    unknown = day.rows("SELECT id FROM sends WHERE reason = 'unknown_outcome'")
    yield from (f"{row[0]} has an unknown outcome, and Twilio lists it" for row in unknown if row[0] in came)


def _answered_well(sent: Sent | None) -> bool:
    """The provider said that it had it; that it failed came later, or never."""
    return sent is not None and sent.outcome == "failed" and sent.fault != "refuse_and_fail"
