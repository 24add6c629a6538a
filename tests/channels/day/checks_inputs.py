"""What must be true of all that users have written, and of the turns that answer it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from tests.channels.day.houses import TWILIO
from tests.channels.day.provider_book import lost_messages
from tests.channels.day.speech import spoken_token
from tests.channels.day.world import Day

#: What users say that is stored as a message.
MESSAGES: Final = frozenset(
    {"text", "image", "voice", "audio", "video", "document", "sticker", "location", "contacts", "button", "list"}
    | {"template_button", "flow", "order", "unsupported", "welcome", "call"}
)
#: Why a message may stay unanswered; some of it only where the script gave cause.
REASONS: Final = frozenset(
    {"answered", "human", "unsupported", "bot_off", "no_credits", "too_late", "failed", "revoked", "loop"}
    | {"window_closed", "handoff", "unheard"}
)


def unstored(day: Day) -> Iterator[str]:
    """Every message that was told, exactly once; what the provider has given up to tell, at most once."""
    stored = Counter(row[0] for row in day.rows("SELECT provider_id FROM messages WHERE role = 'user'"))
    told = {message_id for message_id, spoken in day.spoken.items() if spoken.saying.type in MESSAGES}
    lost = lost_messages(day.number(TWILIO))
    for each in sorted(told):
        if stored[each] > 1 or (stored[each] == 0 and each not in lost):
            yield f"{each} is stored {stored[each]} times"
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
        "COALESCE(t.attempts, 0), COALESCE(t.id, ''), m.id FROM messages m JOIN conversations v "
        "ON v.tenant_id = m.tenant_id AND v.id = m.conversation_id "
        "LEFT JOIN turns t ON t.tenant_id = m.tenant_id AND t.id = m.turn_id WHERE m.role = 'user'"
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
    shut = {
        row[0]
        for row in day.rows("SELECT conversation_id FROM sends WHERE error LIKE '131047%' OR error LIKE '63016%'")
    }
    unkept = _without_file(day)
    troubled = day.model.troubled | day.speech.troubled
    for provider_id, why, tenant_id, conversation_id, bot_id, content, kind, attempts, turn_id, name in day.rows(sql):
        spoken = day.spoken[provider_id]
        causes = {
            "human": conversation_id in silenced | handed,
            "bot_off": bot_id in day.switched,
            "no_credits": tenant_id in poor,
            "failed": turn_id in troubled or attempts > 1,
            "handoff": bool(keywords & {content.strip(".").lower()})
            or any(word in keywords for word in _words_beside(day, conversation_id)),
            "unsupported": kind not in ("text", "button", "list", "flow", "location"),
            "unheard": name in unkept or said_aloud(spoken.saying.data) in day.speech.unheard,
            "window_closed": spoken.account == "2001" or conversation_id in shut,
        }
        if not causes.get(why, True):
            yield f"{provider_id} is {why} without a cause"


def said_aloud(data: str) -> str:
    """What a recording of a saying's says."""
    return spoken_token(msgspec.json.decode(f'"{data}"', type=bytes)) if data else ""


def _without_file(day: Day) -> set[str]:
    """Messages whose file was never had."""
    sql = (
        "SELECT m.id FROM messages m WHERE m.role = 'user' AND NOT EXISTS "
        "(SELECT 1 FROM media f WHERE f.tenant_id = m.tenant_id AND f.message_id = m.id)"
    )
    return {row[0] for row in day.rows(sql)}


def _words_beside(day: Day, conversation_id: str) -> list[str]:
    rows = day.rows("SELECT content FROM messages WHERE conversation_id = ? AND role = 'user'", conversation_id)
    return [row[0].strip(".").lower() for row in rows]


def turns_astray(day: Day) -> Iterator[str]:
    """What is answered is answered by one turn, which says one thing."""
    turns = {row[0]: row for row in day.rows("SELECT id, state, inputs FROM turns")}
    why: dict[str, str] = dict(day.rows("SELECT id, disposition FROM messages WHERE role = 'user'"))
    answered = day.rows(
        "SELECT id, turn_id FROM messages WHERE role = 'user' AND disposition = 'answered' "
        "AND message_type <> 'welcome'"
    )
    for message_id, turn_id in answered:
        turn = turns.get(turn_id)
        if turn is None or turn[1] != "answered" or message_id not in msgspec.json.decode(turn[2]):
            yield f"message {message_id} is answered by {turn}"
    inputs = Counter(
        name
        for _, state, names in turns.values()
        if state == "answered"
        for name in msgspec.json.decode(names)
        if why[name] == "answered"
    )
    yield from (f"message {name} is answered by {times} turns" for name, times in inputs.items() if times > 1)
    said = Counter(row[0] for row in day.rows("SELECT turn_id FROM messages WHERE role = 'assistant'"))
    for turn_id, state, _ in turns.values():
        if (said[turn_id] != 1) if state == "answered" else said[turn_id]:
            yield f"turn {turn_id}, which is {state}, says {said[turn_id]} things"
    yield from (f"turn {turn_id} has no message of {token}" for turn_id, token in day.model.forgotten)


def forgotten_changes(day: Day) -> Iterator[str]:
    """What a user has changed, deleted or reacted to bears the mark of it, unless we were told too late."""
    details: dict[str, str] = dict(day.rows("SELECT provider_id, details FROM messages WHERE role = 'user'"))
    too_late = {row[0] for row in day.rows("SELECT event_key FROM inbox WHERE error <> ''")}
    lost = lost_messages(day.number(TWILIO))
    marks = {"edit": "edited", "revoke": "revoked", "reaction": "reactions"}
    for change_id, spoken in day.spoken.items():
        target, mark = spoken.saying.message_id, marks.get(spoken.saying.type, "")
        if not mark or change_id in too_late or target not in details:
            continue
        if change_id not in lost and not msgspec.json.decode(details[target]).get(mark):
            yield f"{target} is not {mark}"
