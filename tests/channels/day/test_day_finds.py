"""The checks of the day can fail: each of these errors, put into the product, is found by the check that is for it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.providers.whatsapp.line import NotSent, OutcomeUnknown
from app.storage import bot_turns, inbox, lanes, send_moves, send_queue, sends
from app.storage.database import Transaction
from channels.answering import closing
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
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.put.__name__)
def test_an_error_in_the_product_spoils_the_day(
    error: Error, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error.put(monkeypatch)
    _, faults = played(database_url, tmp_path, 1, hours=0.2, scenes=2, names=[error.scenes], cool_s=300)
    assert error.check in faults
