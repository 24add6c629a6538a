"""Statuses, echoes and calls of Meta as facts."""

from __future__ import annotations

from typing import Any

import pytest

from channels.whatsapp import meta
from channels.whatsapp.updates import Broken, Call, Echo, Notice, Person, Status
from tests.channels.whatsapp.bodies import (
    AT,
    ERROR,
    MESSAGES,
    PARENT_ID,
    PHONE,
    STATUS,
    USER_ID,
    arrivals,
    body,
    only,
    value,
)

USER = Person(PHONE, USER_ID, PARENT_ID, "Sheena Nelson")


@pytest.mark.parametrize("status", ["accepted", "sent", "delivered", "read", "played", "failed"])
def test_a_status_has_its_name_in_its_key(status: str) -> None:
    [arrival] = arrivals(body(value(statuses=[{**STATUS, "status": status}])))
    assert arrival.key == f"wamid.A:{status}"
    assert arrival.update == Status("wamid.A", status, AT, USER, "send-1")  # type: ignore[arg-type]


def test_the_first_error_is_the_one_that_counts() -> None:
    failed = only(value(statuses=[{**STATUS, "status": "failed", "errors": [ERROR, {"code": 1}]}]))
    assert isinstance(failed, Status)
    assert (failed.error_code, failed.error) == ("131049", "In order to keep a healthy ecosystem.")


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([{"code": "131026", "message": "m", "title": "t"}], ("131026", "m")),
        ([{"code": 131026, "title": "t", "error_data": 7}], ("131026", "t")),
        ([{"code": 131026, "title": "t", "error_data": "said"}], ("131026", "said")),
        ([{}], ("", "")),
        ([7], ("", "")),
        ("odd", ("", "")),
        ([], ("", "")),
        (None, ("", "")),
    ],
)
def test_an_error_is_read_as_far_as_it_goes(errors: object, expected: tuple[str, str]) -> None:
    failed = only({"statuses": [{**STATUS, "status": "failed", "errors": errors}]})
    assert isinstance(failed, Status)
    assert (failed.error_code, failed.error) == expected


def test_a_recipient_may_be_unknown() -> None:
    assert only({"statuses": [{"id": "wamid.A", "status": "read"}]}) == Status("wamid.A", "read", 0, Person())


@pytest.mark.parametrize("change", [{"status": "warned"}, {"status": "sent", "type": "call"}, {"status": None}])
def test_a_status_that_moves_no_message_is_a_notice(change: dict[str, Any]) -> None:
    assert isinstance(only(value(statuses=[{**STATUS, **change}])), Notice)


def test_a_status_without_an_id_is_broken() -> None:
    [broken] = meta.read(body(value(statuses=[{"status": "sent"}])))
    assert isinstance(broken, Broken)


ECHO = {"from": "15550783881", "to": "16505551234", "to_user_id": USER_ID, "to_parent_user_id": PARENT_ID}


@pytest.mark.parametrize(("name", "text"), [("text", "Does it come in another color?"), ("image", "Taj Mahal")])
def test_an_echo_of_the_phone_app_says_what_was_written_to_whom(name: str, text: str) -> None:
    raw = {**ECHO, "id": "wamid.E", "timestamp": str(AT), **MESSAGES[name]}
    update = only(value(message_echoes=[raw]), field="smb_message_echoes")
    assert update == Echo("wamid.E", AT, USER, name, text)


def test_an_echo_to_nobody_is_broken() -> None:
    [broken] = meta.read(body({"message_echoes": [{"id": "wamid.E"}]}, field="smb_message_echoes"))
    assert isinstance(broken, Broken)


CALL = {"id": "wacid.B", "from": "16505551234", "to": "15550783881", "event": "connect", "timestamp": str(AT)}


def test_a_call_has_its_event_in_its_key() -> None:
    connect = {**CALL, "direction": "USER_INITIATED", "session": {"sdp_type": "offer", "sdp": "v=0"}}
    found = arrivals(body(value(calls=[connect, {**CALL, "event": "terminate"}]), field="calls"))
    assert [each.key for each in found] == ["wacid.B:connect", "wacid.B:terminate"]
    assert found[0].update == Call("wacid.B", AT, USER, "connect")


def test_a_call_of_the_business_and_its_statuses_are_notices() -> None:
    ours = {**CALL, "direction": "BUSINESS_INITIATED"}
    ringing = {"id": "wacid.B", "timestamp": str(AT), "type": "call", "status": "RINGING"}
    found = arrivals(body(value(calls=[ours], statuses=[ringing]), field="calls"))
    assert [each.key for each in found] == ["wacid.B:connect", "wacid.B:RINGING"]
    assert all(isinstance(each.update, Notice) for each in found)
