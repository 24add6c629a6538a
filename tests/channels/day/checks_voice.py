"""What must be true of all that was heard and spoken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from tests.channels.day.checks_inputs import said_aloud
from tests.channels.day.houses import ALOUD
from tests.channels.day.provider_book import all_accepted, answered_tokens, is_spoken, words_of
from tests.channels.day.speech import COSTS
from tests.channels.day.world import Day

#: What tells a user that a recording was not understood.
UNHEARD: str = "Sorry, I could not hear that. Please say it again, or write it."


def misheard(day: Day) -> Iterator[str]:
    """What was answered was understood, and each recording says what its user has said, paid for once."""
    legs = Counter(row[0] for row in day.rows("SELECT turn_id FROM turn_legs WHERE leg = 'stt'"))
    rows = day.rows(
        "SELECT id, provider_id, content, disposition, details FROM messages "
        "WHERE role = 'user' AND message_type = 'voice'"
    )
    for message_id, provider_id, content, disposition, details in rows:
        spoken = day.spoken[provider_id]
        token = said_aloud(spoken.saying.data)
        understood = bool(msgspec.json.decode(details).get("transcript"))
        if legs[f"message:{message_id}"] != understood:
            yield f"{provider_id} was paid for {legs[f'message:{message_id}']} times; understood: {understood}"
        if spoken.account not in ALOUD or not spoken.saying.data:
            continue
        if disposition == "answered" and not understood:
            yield f"{provider_id} is answered, and was not understood"
        if understood and content not in ("", f"{token} is what I said"):
            yield f"{provider_id} says {content!r} in place of {token}"


def misspoken(day: Day) -> Iterator[str]:
    """An answer aloud reaches its phone once, as sound or as text, and says what the answer is."""
    rows = day.rows(
        "SELECT s.id, m.id, m.content, m.message_type, s.kind, s.state FROM sends s JOIN messages m "
        "ON m.tenant_id = s.tenant_id AND m.id = s.message_id WHERE s.origin = 'reply'"
    )
    messages = {row[0]: row[1:] for row in rows}
    reached: dict[str, list[str]] = defaultdict(list)
    for sent in all_accepted(day):
        message_id, content, kind, *_ = messages.get(sent.reference, ("", "", ""))
        words = words_of(day, sent)
        if is_spoken(sent) and (kind != "voice" or answered_tokens(words) != answered_tokens(content)):
            yield f"{sent.reference} says {words!r} in place of {content!r}"
        if kind == "voice":
            reached[message_id].append(sent.kind)
    resends = {each.account for each in day.businesses if each.resends}
    assert not resends & ALOUD
    yield from (f"{each} reached its phone as {kinds}" for each, kinds in reached.items() if len(kinds) > 1)
    yield from (f"{send_id} is still being made" for send_id, row in messages.items() if row[4] == "making")


def overspoken(day: Day) -> Iterator[str]:
    """Whatever is heard or spoken is a leg of its own, paid for once, and its sound is kept."""
    for category, cost in COSTS.items():
        legs = day.rows(
            "SELECT l.turn_id, c.state, c.charge FROM turn_legs l LEFT JOIN calls c "
            "ON c.tenant_id = l.tenant_id AND c.id = l.call_id WHERE l.leg = ?",
            category,
        )
        yield from (f"{category} of {row[0]} is {row[1:]}" for row in legs if tuple(row[1:]) != ("posted", cost))
        charged = day.rows("SELECT COUNT(*) FROM calls WHERE category = ? AND charge > 0", category)[0][0]
        if charged != len(legs):
            yield f"{len(legs)} legs of {category}, {charged} charges"
    soundless = day.rows(
        "SELECT l.turn_id FROM turn_legs l JOIN sends s ON s.tenant_id = l.tenant_id AND s.turn_id = l.turn_id "
        "WHERE l.leg = 'tts' AND NOT EXISTS "
        "(SELECT 1 FROM media f WHERE f.tenant_id = s.tenant_id AND f.message_id = s.message_id)"
    )
    yield from (f"{row[0]} was spoken, and there is no sound of it" for row in soundless)
    heard = day.rows("SELECT COUNT(*) FROM messages WHERE role = 'user' AND disposition = 'unheard'")[0][0]
    told = sum(sent.text == UNHEARD for sent in all_accepted(day))
    if told > heard:
        yield f"{heard} recordings were not understood, {told} times a user was told so"
