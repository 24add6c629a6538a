"""Whose turn it is: no host and no tenant takes all the room."""

from __future__ import annotations

from app.core.delivery_room import MOST, MOST_OF_HOST, MOST_OF_TENANT, SILENT_S, Room


def test_a_host_has_so_many_places_and_gets_them_back() -> None:
    room = Room()
    assert [room.enter("a", "t", 0.0) for _ in range(MOST_OF_HOST + 1)] == [True] * MOST_OF_HOST + [False]
    room.leave("a", "t")
    assert room.enter("a", "t", 0.0)


def test_a_tenant_has_so_many_places_whatever_hosts_it_names() -> None:
    room = Room()
    entered = [room.enter(f"host {number}", "t", 0.0) for number in range(MOST_OF_TENANT + 1)]
    assert entered == [True] * MOST_OF_TENANT + [False]
    assert room.enter("another", "another tenant", 0.0)


def test_there_is_room_for_so_many_in_all() -> None:
    room = Room()
    entered = [room.enter(f"host {number}", f"tenant {number}", 0.0) for number in range(MOST + 1)]
    assert entered == [True] * MOST + [False]


def test_a_silent_host_has_one_place_until_it_speaks() -> None:
    room = Room()
    room.heard("a", spoke=False, now=0.0)
    assert [room.enter("a", "t", 1.0), room.enter("a", "t", 1.0)] == [True, False]
    room.heard("a", spoke=True, now=2.0)
    assert room.enter("a", "t", 2.0)


def test_a_silent_host_is_given_another_chance_in_time() -> None:
    room = Room()
    room.heard("a", spoke=False, now=0.0)
    assert [room.enter("a", "t", SILENT_S + 1), room.enter("a", "t", SILENT_S + 1)] == [True, True]
