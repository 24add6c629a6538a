"""The checks of the day can fail: each of these errors, put into the product, is found by the check that is for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.providers.whatsapp import twilio
from app.providers.whatsapp.line import File, MediaContent, NotSent, OutcomeUnknown, TextContent
from app.storage import bot_turns, inbox, lanes, send_moves, send_queue, sends
from app.storage.database import Transaction
from app.storage.media import StoredMedia
from channels.answering import closing, listening
from channels.conversations import contents
from channels.conversations.posting import Place, Saying, post
from channels.media import MediaStore
from channels.outbound import outcomes, reconciling, senders, taking
from channels.outbound.pacing import Bucket
from tests.channels.day.playing import played

HUGE_US = 1 << 60


class Error(NamedTuple):
    """`put` makes it; in these scenes this check finds it."""

    put: Callable[[pytest.MonkeyPatch], None]
    scenes: str
    check: str


def keep_whatever_comes(patch: pytest.MonkeyPatch) -> None:
    numbers, insert = count(), inbox.insert

    def keep(db: Transaction, tenant_id: str, events: Any, at_us: int) -> int:
        return insert(db, tenant_id, [each._replace(event_key=f"{next(numbers)}") for each in events], at_us)

    patch.setattr(inbox, "insert", keep)


def forget_the_lane(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lanes, "touch", lambda *_: 0)


def never_shut(patch: pytest.MonkeyPatch) -> None:
    judge = taking.judge
    patch.setattr(taking, "judge", lambda candidate, at_us: judge(candidate._replace(window_us=HUGE_US), at_us))


def mark_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(send_queue, "mark_sending", lambda *_: 1)


def take_silence_for_no(patch: pytest.MonkeyPatch) -> None:
    def record(db: Transaction, tenant_id: str, taken: Any, outcome: Any, at_us: int, jitter: float) -> bool:
        said = NotSent("silence") if isinstance(outcome, OutcomeUnknown) else outcome
        return outcomes.record(db, tenant_id, taken, said, at_us, jitter)

    patch.setattr(senders, "record", record)


def send_again_what_was_lost(patch: pytest.MonkeyPatch) -> None:
    def queue(db: Transaction, tenant_id: str, send: Any, _why: str, at_us: int) -> None:
        sql = "UPDATE sends SET state = 'queued', due_at = ?, lease_until = 0 WHERE tenant_id = ? AND id = ?"
        db.do(sql, at_us, tenant_id, send.id)

    patch.setattr(reconciling, "doubt", queue)


def let_parts_overtake(patch: pytest.MonkeyPatch) -> None:
    waits = f"AND NOT EXISTS ({send_queue._AHEAD})"
    free = "AND (? IS NOT NULL OR ? IS NOT NULL) ORDER BY s.seq DESC, s.due_at"
    assert waits in send_queue._CANDIDATES
    patch.setattr(send_queue, "_CANDIDATES", send_queue._CANDIDATES.replace(f"{waits} ORDER BY s.due_at, s.seq", free))


def hurry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(taking, "PAIR", Bucket(1, 1000))


def talk_over_people(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(closing, "check_ours", lambda *_, **__: None)


def forget_legs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bot_turns, "put_leg", lambda *_: None)


def believe_any_status(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sends, "moved", lambda _now, told: told)


def tell_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(send_moves, "_tell", lambda *_: None)


def understand_once_more(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bot_turns, "set_content", lambda *_: None)


def charge_for_each_try_to_speak(patch: pytest.MonkeyPatch) -> None:
    put = bot_turns.put_leg

    def skip(db: Transaction, tenant_id: str, turn_id: str, leg: str, *more: Any) -> None:
        if leg != "tts":
            put(db, tenant_id, turn_id, leg, *more)

    patch.setattr(bot_turns, "put_leg", skip)


def speak_and_write(patch: pytest.MonkeyPatch) -> None:
    made = sends.made

    def both(db: Transaction, tenant_id: str, message_id: str, part: int, kind: str, body: str, at_us: int) -> bool:
        done, note = made(db, tenant_id, message_id, part, kind, body, at_us), contents.read(kind, body)
        if done and isinstance(note, MediaContent):
            sql = "SELECT conversation_id, contact_id, number_id, turn_id FROM sends WHERE message_id = ?"
            *place, turn_id = db.all(sql, message_id)[0]
            words = Saying(note.otherwise, [TextContent(note.otherwise)], f"{turn_id}:again", "reply")
            post(db, Place(tenant_id, *place), words, at_us)
        return done

    patch.setattr(sends, "made", both)


def say_what_was_said_before(patch: pytest.MonkeyPatch) -> None:
    first: list[bytes] = []
    keep = MediaStore.keep

    async def keep_first(store: MediaStore, tenant_id: str, message_id: str, file: File, name: str = "") -> StoredMedia:
        first.append(file.data)
        spoken = b"words:" in file.data and next(data for data in first if b"words:" in data)
        return await keep(store, tenant_id, message_id, replace(file, data=spoken or file.data), name)

    patch.setattr(MediaStore, "keep", keep_first)


def take_any_listed_for_ours(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(twilio, "_says", lambda listed, _ways: bool(listed))
    patch.setattr(send_moves, "find_provided", lambda *_: None)


def never_look_at_the_list(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(twilio, "_says", lambda *_: False)


def tell_nothing_of_what_was_not_heard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(listening, "lost", lambda _heard: [])


ERRORS = [
    Error(keep_whatever_comes, "duplicates", "unstored"),
    Error(forget_the_lane, "fragments", "undisposed"),
    Error(never_shut, "window", "outside_the_window"),
    Error(mark_nothing, "fragments", "said_twice"),
    Error(take_silence_for_no, "silence", "said_twice"),
    Error(send_again_what_was_lost, "cut_off", "said_twice"),
    Error(let_parts_overtake, "pace", "out_of_order"),
    Error(hurry, "pace", "too_fast"),
    Error(talk_over_people, "takeover", "over_people"),
    Error(forget_legs, "fragments", "miscounted"),
    Error(believe_any_status, "statuses", "unsettled"),
    Error(tell_nobody, "fragments", "untold"),
    Error(understand_once_more, "speech", "misheard"),
    Error(charge_for_each_try_to_speak, "speech", "overspoken"),
    Error(speak_and_write, "speech", "said_twice"),
    Error(say_what_was_said_before, "speech", "misspoken"),
    Error(take_any_listed_for_ours, "asked", "unsettled"),
    Error(never_look_at_the_list, "asked", "unasked"),
    Error(tell_nothing_of_what_was_not_heard, "speech", "misheard"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.put.__name__)
def test_an_error_in_the_product_spoils_the_day(
    error: Error, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error.put(monkeypatch)
    _, faults = played(database_url, tmp_path, 1, hours=0.2, scenes=2, names=[error.scenes], cool_s=300)
    assert error.check in faults
