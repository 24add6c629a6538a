"""How far a message has come: statuses in any order end where they would in the right one."""

from __future__ import annotations

from itertools import permutations
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.sends import FINAL, FURTHER, GONE, State, message_status, moved

STATES = st.sampled_from(get_args(State))
TOLD = st.sampled_from(["accepted", "sent", "delivered", "read", "played", "failed"])


@given(STATES, TOLD)
def test_a_status_never_moves_a_message_back(now: State, told: State) -> None:
    after = moved(now, told)
    assert after in (now, told)
    if now in FURTHER and after in FURTHER:
        assert FURTHER.index(after) >= FURTHER.index(now)
    assert moved(after, told) == after, "the same twice is the same once"


@given(STATES, st.lists(TOLD))
def test_what_has_arrived_cannot_fail_and_what_is_final_stays(now: State, told: list[State]) -> None:
    arrived = False
    for each in told:
        was, now = now, moved(now, each)
        if was in FINAL or arrived:
            assert now == was or (arrived and now != "failed")
        arrived = arrived or now in ("delivered", "read", "played")


def test_statuses_in_any_order_end_at_the_furthest() -> None:
    states: tuple[State, ...] = ("accepted", "sent", "delivered", "read")
    for order in permutations(states):
        now: State = "sending"
        for told in order:
            now = moved(now, told)
        assert now == "read"


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (("read", "delivered", "sent"), "sent"),
        (("delivered", "queued"), "queued"),
        (("delivered", "failed", "dropped"), "failed"),
        (("delivered", "dropped"), "delivered"),
        (("dropped", "dropped"), "dropped"),
        (("accepted",), "accepted"),
        (("sending", "unknown"), "sending"),
        ((), "dropped"),
    ],
)
def test_a_message_is_as_far_as_the_last_of_its_parts(parts: tuple[State, ...], whole: State) -> None:
    assert message_status(parts) == whole


def test_every_state_has_its_place() -> None:
    assert set(FURTHER) | FINAL == set(get_args(State))
    assert set(FURTHER[FURTHER.index("accepted") :]) == GONE
