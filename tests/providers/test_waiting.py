"""How long a provider has been waited for: its own part of a call, which is not our overhead."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from app.providers.deadlines import Deadlines, Patience


async def test_waits_count_and_what_the_reader_does_between_them_does_not(autojump_clock: MockClock) -> None:
    patience = Patience(Deadlines(), first_byte_s=30)
    patience.begin()
    await trio.sleep(2)
    patience.rest()
    assert patience.waited_s == pytest.approx(2)
    await trio.sleep(5)
    patience.wait()
    await trio.sleep(1)
    assert patience.waited_s == pytest.approx(3)
    patience.rest()
    await trio.sleep(7)
    assert patience.waited_s == pytest.approx(3)
    patience.end(None)


async def test_what_comes_after_the_answer_is_no_wait_for_the_provider(autojump_clock: MockClock) -> None:
    patience = Patience(Deadlines(), first_byte_s=30)
    patience.begin()
    await trio.sleep(2)
    patience.rest()
    patience.stop()
    await trio.sleep(4)
    patience.wait()
    await trio.sleep(4)
    assert patience.waited_s == pytest.approx(2)
    patience.end(None)


async def test_a_wait_that_is_cut_short_counts_until_then(autojump_clock: MockClock) -> None:
    patience = Patience(Deadlines(gap_s=3), first_byte_s=30)
    with trio.move_on_after(1.5):
        patience.begin()
        try:
            await trio.sleep_forever()
        except BaseException as error:
            patience.end(error)
            raise
    assert patience.waited_s == pytest.approx(1.5)


async def test_a_deadline_that_passed_counts_in_full(autojump_clock: MockClock) -> None:
    patience = Patience(Deadlines(gap_s=3), first_byte_s=4)
    patience.begin()
    caught = False
    try:
        await trio.sleep_forever()
    except trio.Cancelled as late:
        caught = patience.end(late)
    assert caught
    assert patience.waited_s == pytest.approx(4)
