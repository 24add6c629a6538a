"""Signature, verification and envelope of Meta's webhooks."""

from __future__ import annotations

import json

import msgspec
import pytest
from pywa.utils import webhook_updates_validator

from channels.whatsapp import meta
from channels.whatsapp.updates import Arrival, Broken, Message, Notice, Status
from tests.channels.whatsapp.bodies import ACCOUNT, AT, BUSINESS, STATUS, arrivals, body, message, value

SIGNED = [
    (
        rb'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[]}],"note":"\u0939\u0948 \/"}',
        "sha256=1a2ed7b800e1ed887a31d00e30f223d43ee3ecb263e963068ba411edd5663408",
    ),
    (b"{}", "sha256=f8bd606110c12799edbf6aed8716323746edf92e9fdff7ce374be04ed498738a"),
]


@pytest.mark.parametrize(("raw", "header"), SIGNED)
def test_the_vectors_of_the_wire_document_are_signed_and_pywa_agrees(raw: bytes, header: str) -> None:
    assert meta.signed(["appsecret"], raw, header)
    assert webhook_updates_validator("appsecret", raw, header)


def test_any_valid_secret_will_do_whatever_its_place() -> None:
    raw, header = SIGNED[0]
    assert meta.signed(["new", "appsecret"], raw, header)
    assert meta.signed(["appsecret", "new"], raw, header)
    assert not meta.signed(["new", "other"], raw, header)


@pytest.mark.parametrize("header", [None, "", "sha256=", SIGNED[1][1][7:], SIGNED[1][1].upper(), "sha256=é\ud800"])
def test_a_header_that_is_missing_or_not_exact_signs_nothing(header: str | None) -> None:
    assert not meta.signed(["appsecret"], b"{}", header)


def test_another_byte_is_another_signature() -> None:
    raw, header = SIGNED[0]
    assert not meta.signed(["appsecret"], raw.replace(rb"\/", b"/"), header)


def test_an_empty_secret_matches_nothing() -> None:
    of_empty_key = "sha256=b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
    assert not meta.signed([""], b"", of_empty_key)
    assert not meta.signed([], b"", of_empty_key)


QUERY = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "ours"}


def test_the_challenge_is_given_back_for_our_token() -> None:
    assert meta.challenge(QUERY, lambda token: token == "ours") == "1158201444"


@pytest.mark.parametrize(
    "change",
    [
        {"hub.mode": "unsubscribe"},
        {"hub.verify_token": "theirs"},
        {"hub.verify_token": ""},
        {"hub.challenge": ""},
        {"hub.challenge": "1" * 5000},
    ],
)
def test_a_verification_that_is_not_ours_is_refused(change: dict[str, str]) -> None:
    assert meta.challenge({**QUERY, **change}, lambda token: token in ("ours", "")) is None
    assert meta.challenge({}, lambda _: True) is None


def test_entries_changes_messages_and_statuses_are_all_read_in_their_order() -> None:
    first = value(messages=[message("text", "wamid.1"), message("image", "wamid.2")], statuses=[STATUS])
    second = value(messages=[message("text", "wamid.3")], account="2")
    tree = json.loads(body(first, second))
    tree["entry"].append({"id": "other", "changes": [{"field": "messages", "value": value(statuses=[STATUS])}]})

    found = arrivals(json.dumps(tree).encode())

    assert [(each.account, each.key, each.business) for each in found] == [
        (ACCOUNT, "wamid.1", BUSINESS),
        (ACCOUNT, "wamid.2", BUSINESS),
        (ACCOUNT, "wamid.A:delivered", BUSINESS),
        ("2", "wamid.3", BUSINESS),
        (ACCOUNT, "wamid.A:delivered", "other"),
    ]


def test_a_body_with_nothing_in_it_is_nothing() -> None:
    assert meta.read(SIGNED[0][0]) == []


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"{}", b'{"entry":{}}', b"\xff\0", b"[" * 100_000, b"null"])
def test_a_body_that_is_no_envelope_is_broken_and_kept(raw: bytes) -> None:
    [broken] = meta.read(raw)
    assert isinstance(broken, Broken)
    assert broken.reason
    assert broken.body == raw.decode("utf-8", "replace").replace("\0", "\ufffd")


@pytest.mark.parametrize("bad", [7, None, [], "x", {}, {"id": "wamid.9"}, {"id": ["x"], "from": "1650555123"}])
def test_a_bad_message_or_status_is_broken_alone(bad: object) -> None:
    raw = body(value(messages=[message("text", "wamid.1"), bad, message("text", "wamid.2")], statuses=[STATUS]))
    if isinstance(bad, dict):
        raw = raw.replace(b', "contacts"', b', "people"')

    found = meta.read(raw)

    read = [part.key for part in found if isinstance(part, Arrival) and not isinstance(part.update, Notice)]
    [broken] = [part for part in found if isinstance(part, Broken)]
    assert read == ["wamid.1", "wamid.2", "wamid.A:delivered"]
    assert broken.account == ACCOUNT
    assert meta.read(broken.body.encode()) == [broken]


def test_a_bad_entry_or_change_is_broken_alone() -> None:
    good = {"field": "messages", "value": value(messages=[message("text")])}
    tree = {"entry": [7, {"id": "1", "changes": [None, good, {"field": "messages", "value": []}]}]}

    found = meta.read(json.dumps(tree).encode())

    assert [type(part).__name__ for part in found] == ["Broken", "Broken", "Arrival", "Broken"]
    assert next(json.loads(part.body)["entry"][0] for part in found if isinstance(part, Broken)) == 7


def test_errors_of_a_change_and_what_is_unknown_in_it_are_notices() -> None:
    odd = value(messages=[message("bare_interactive")], errors=[{"code": 131000}], novelty={"a": 1})

    found = arrivals(body(odd))

    assert [type(each.update) for each in found] == [Message, Notice, Notice]
    errors, rest = found[1], found[2]
    assert errors.update == Notice("messages", {"errors": [{"code": 131000}]})
    assert rest.update == Notice("messages", {"novelty": {"a": 1}})
    assert len({each.key for each in found}) == 3


@pytest.mark.parametrize(
    "field", ["account_update", "history", "message_echoes", "group_lifecycle_update", "brand_new"]
)
def test_any_other_field_is_kept_as_a_notice_under_the_same_key_each_time(field: str) -> None:
    raw = body({"event": "VERIFIED_ACCOUNT"}, field=field)
    other = body({"event": "DISABLED"}, field=field)

    [notice] = arrivals(raw)

    assert notice == arrivals(raw)[0]
    assert (notice.account, notice.business, len(notice.key)) == ("", BUSINESS, 64)
    assert notice.update == Notice(field, {"event": "VERIFIED_ACCOUNT"})
    assert arrivals(other)[0].key != notice.key


def test_the_time_of_an_entry_tells_two_equal_notices_apart() -> None:
    entries = [{"id": "1", "time": AT + n, "changes": [{"field": "f", "value": {"a": 1}}]} for n in range(2)]
    first, second = arrivals(json.dumps({"entry": entries}).encode())
    assert first.key != second.key
    assert first.update == Notice("f", {"a": 1}, AT)


STANDBY = [
    {"entry": [{"id": "1", "changes": [{"field": "standby", "value": value(messages=[message("text")])}]}]},
    {"entry": [{"id": "1", "changes": [{"field": "standby", "value": value(standby=[message("text")])}]}]},
    {"entry": [{"id": "1", "changes": [{"field": "messages", "value": value(standby=[message("text")])}]}]},
    {
        "entry": [
            {"id": "1", "changes": [{"field": "messages", "value": value(standby=True, messages=[message("text")])}]}
        ]
    },
    {"entry": [{"id": "1", "standby": [{"field": "messages", "value": value(messages=[message("text")])}]}]},
    {"entry": [{"id": "1", "standby": [value(messages=[message("text")])]}]},
    {
        "entry": [
            {"id": "1", "changes": [{"field": "messages", "value": value(messages=[message("text", standby=True)])}]}
        ]
    },
]


@pytest.mark.parametrize("tree", STANDBY)
def test_a_message_for_another_handler_is_marked_wherever_that_is_said(tree: object) -> None:
    [arrival] = arrivals(json.dumps(tree).encode())
    assert isinstance(arrival.update, Message)
    assert (arrival.account, arrival.update.standby, arrival.update.id) == (ACCOUNT, True, "wamid.M")


def test_an_arrival_survives_the_inbox() -> None:
    parts = value(messages=[message("document"), message("reaction", "wamid.2")], statuses=[STATUS])
    for arrival in arrivals(body(parts)):
        kept = msgspec.json.encode(arrival)
        assert msgspec.json.decode(kept, type=Arrival) == arrival


def test_a_status_needs_no_contact() -> None:
    [arrival] = arrivals(body({"metadata": {"phone_number_id": ACCOUNT}, "statuses": [STATUS]}))
    assert isinstance(arrival.update, Status)
