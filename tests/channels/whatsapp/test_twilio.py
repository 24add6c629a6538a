"""Messages and status callbacks of Twilio as facts."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.whatsapp import twilio
from channels.whatsapp.updates import (
    Arrival,
    Broken,
    Media,
    Message,
    Notice,
    Person,
    Reaction,
    Status,
    Update,
)

OURS = "+14155238886"
METADATA = '{"type":"whatsapp","data":{"context":{}}}'
#: The captured tap of wire/whatsapp-twilio.md §1.
TAP = {
    "MessageSid": "SM1",
    "SmsMessageSid": "SM1",
    "SmsSid": "SM1",
    "AccountSid": "AC1",
    "ApiVersion": "2010-04-01",
    "SmsStatus": "received",
    "From": "whatsapp:+6285100000001",
    "To": f"whatsapp:{OURS}",
    "WaId": "6285100000001",
    "ExternalUserId": "whatsapp:ID.4566546130240823",
    "ProfileName": "Putri",
    "MessageType": "interactive",
    "Body": "Konfirmasi",
    "NumSegments": "1",
    "NumMedia": "0",
    "ButtonText": "Konfirmasi",
    "ButtonPayload": "confirm",
    "Forwarded": "false",
    "FrequentlyForwarded": "false",
    "OriginalRepliedMessageSid": "MM1",
    "OriginalRepliedMessageSender": f"whatsapp:{OURS}",
    "ReferralNumMedia": "0",
    "ChannelMetadata": METADATA,
}
PLAIN = {"MessageSid": "SM2", "From": "whatsapp:+6285100000001", "To": f"whatsapp:{OURS}", "AccountSid": "AC1"}
SENDER = Person("+6285100000001")


def read(form: dict[str, str]) -> Update:
    found = twilio.read([*form.items()])
    assert isinstance(found, Arrival)
    assert (found.account, found.business) == (OURS, "AC1")
    assert found.key == form["MessageSid"]
    return found.update


def read_message(**more: str) -> Message:
    update = read({**PLAIN, **more})
    assert isinstance(update, Message)
    return update


def test_the_captured_tap_is_a_choice_of_somebody_with_two_ids() -> None:
    found = read(TAP)
    assert isinstance(found, Message)
    assert found.sender == Person("+6285100000001", "ID.4566546130240823", name="Putri")
    assert (found.kind, found.text, found.choice_id, found.reply_to) == ("button", "Konfirmasi", "confirm", "MM1")
    assert (found.id, found.at) == ("SM1", 0)
    assert found.details["ChannelMetadata"] == METADATA
    assert "Body" not in found.details


CONTENTS = [
    ({"Body": "Hello", "MessageType": "text"}, ("text", "Hello", "")),
    ({"Body": "Hello"}, ("text", "Hello", "")),
    ({"Body": "Hello", "MessageType": "hologram"}, ("text", "Hello", "")),
    ({"Body": "", "MessageType": "contacts"}, ("unsupported", "", "")),
    ({}, ("unsupported", "", "")),
    ({"Body": "x", "ButtonPayload": "stop"}, ("button", "stop", "stop")),
    ({"ListId": "l", "ListTitle": "Priority", "ListDescription": "d"}, ("list", "Priority", "l")),
    ({"ListId": "l", "Body": "Priority"}, ("list", "Priority", "l")),
    ({"ListId": "l"}, ("list", "l", "l")),
    ({"FlowData": '{"a":1}', "MessageType": "interactive"}, ("flow", '{"a":1}', "")),
    ({"InteractiveData": '{"b":1}', "Body": "Sent"}, ("flow", '{"b":1}', "")),
    (
        {"Latitude": "37.44", "Longitude": "-122.16", "Label": "Philz", "Address": "101 Forest Ave"},
        ("location", "Location: Philz, 101 Forest Ave (37.44, -122.16)", ""),
    ),
    ({"Latitude": "37.44", "Longitude": "-122.16"}, ("location", "Location: (37.44, -122.16)", "")),
]


@pytest.mark.parametrize(("form", "expected"), CONTENTS)
def test_kind_readable_form_and_choice(form: dict[str, str], expected: tuple[str, str, str]) -> None:
    found = read_message(**form)
    assert (found.kind, found.text, found.choice_id) == expected


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("image/jpeg", "image"),
        ("audio/ogg", "voice"),
        ("Audio/OGG; codecs=opus", "voice"),
        ("audio/mpeg", "audio"),
        ("video/mp4", "video"),
        ("application/pdf", "document"),
        ("text/vcard", "document"),
        ("", "document"),
    ],
)
def test_a_file_is_what_its_type_says(media_type: str, kind: str) -> None:
    url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1"
    found = read_message(NumMedia="1", MediaUrl0=url, MediaContentType0=media_type, Body="Look")
    assert (found.kind, found.text, found.media) == (kind, "Look", Media(media_type=media_type, url=url))


def test_a_sticker_is_one_by_its_message_type_and_the_first_file_is_the_one() -> None:
    files = {"MediaUrl1": "https://x/1", "MediaUrl0": "https://x/0", "MediaContentType0": "image/webp"}
    found = read_message(**files, MessageType="sticker")
    assert (found.kind, found.media) == ("sticker", Media(media_type="image/webp", url="https://x/0"))
    assert found.details["MediaUrl1"] == "https://x/1"


def test_a_reaction_needs_its_message() -> None:
    reaction = {**PLAIN, "MessageType": "reaction", "Body": "👍"}
    assert read({**reaction, "OriginalRepliedMessageSid": "MM1"}) == Reaction("SM2", 0, SENDER, "MM1", "👍")
    assert isinstance(read(reaction), Notice)


def test_an_ad_comes_before_the_message() -> None:
    found = read_message(Body="Hi", ReferralHeadline="Chat with us", ReferralBody="Ask away")
    assert found.referral == "Chat with us\nAsk away"


@pytest.mark.parametrize(
    ("ids", "sender"),
    [
        ({"From": "whatsapp:ID.45"}, Person(user_id="ID.45")),
        ({"From": "whatsapp:+ID.45"}, Person(user_id="ID.45")),
        ({"From": "whatsapp:hidden", "ExternalUserId": "whatsapp:ID.45"}, Person(user_id="ID.45")),
        ({"From": "", "WaId": "6285100000001"}, SENDER),
        ({"From": "+6285100000001"}, SENDER),
        ({"From": "whatsapp: +62 851-0000-0001"}, SENDER),
    ],
)
def test_a_user_who_hides_the_number_is_known_by_an_id(ids: dict[str, str], sender: Person) -> None:
    assert read_message(Body="Hi", **ids).sender == sender


@pytest.mark.parametrize("missing", ["MessageSid", "From"])
def test_what_has_no_id_or_sender_is_broken_and_kept(missing: str) -> None:
    form = {**PLAIN, missing: "", "Body": "a\0"}
    found = twilio.read([*form.items()])
    assert isinstance(found, Broken)
    assert found.account == OURS
    assert dict(json.loads(found.body))["Body"] == "a\ufffd"


STATUS = {
    "MessageSid": "SM3",
    "SmsSid": "SM3",
    "MessageStatus": "delivered",
    "SmsStatus": "delivered",
    "AccountSid": "AC1",
    "From": f"whatsapp:{OURS}",
    "To": "whatsapp:+6285100000001",
    "ApiVersion": "2010-04-01",
    "ChannelPrefix": "whatsapp",
    "ChannelToAddress": "+62855XXXX",
}


def read_status(**more: str) -> Arrival:
    found = twilio.read_status([*{**STATUS, **more}.items()], "send-1")
    assert isinstance(found, Arrival)
    assert found.account == OURS
    return found


@pytest.mark.parametrize(
    ("told", "status"),
    [
        *((name, "accepted") for name in ("accepted", "scheduled", "queued", "sending")),
        *((name, name) for name in ("sent", "delivered", "read", "failed")),
        *((name, "failed") for name in ("undelivered", "canceled")),
    ],
)
def test_a_status_is_mapped_and_has_its_own_name_in_its_key(told: str, status: str) -> None:
    found = read_status(MessageStatus=told)
    assert found.key == f"SM3:{told}"
    assert found.update == Status("SM3", status, 0, SENDER, "send-1")  # type: ignore[arg-type]


def test_a_read_receipt_is_told_by_its_event() -> None:
    found = read_status(EventType="READ")
    assert (found.key, getattr(found.update, "status", "")) == ("SM3:read", "read")
    assert read_status(EventType="READ", MessageStatus="failed").key == "SM3:failed"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"ErrorCode": "63016", "ErrorMessage": "m", "ChannelStatusMessage": "c"}, ("63016", "m")),
        ({"ErrorCode": "63016", "ChannelStatusMessage": "c"}, ("63016", "c")),
        ({"ErrorCode": "0"}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_a_failure_says_why(told: dict[str, str], expected: tuple[str, str]) -> None:
    found = read_status(MessageStatus="undelivered", **told).update
    assert isinstance(found, Status)
    assert (found.error_code, found.error) == expected


def test_a_status_that_is_not_known_is_a_notice_and_one_without_id_is_broken() -> None:
    assert isinstance(read_status(MessageStatus="pondering").update, Notice)
    assert isinstance(twilio.read_status([("MessageStatus", "sent")], "send-1"), Broken)


NAMES = st.sampled_from([*TAP, *STATUS, "MediaUrl0", "MediaContentType0", "ListId", "Latitude", "EventType"])
FORMS = st.lists(st.tuples(NAMES | st.text(), st.sampled_from([*TAP.values()]) | st.text(st.characters())))


@given(FORMS)
def test_no_form_raises_and_all_that_is_read_can_be_kept(form: list[tuple[str, str]]) -> None:
    for params in (form, [*TAP.items(), *form], [*form, *TAP.items()]):
        for found in (twilio.read(params), twilio.read_status(params, "send-1")):
            kept = msgspec.json.encode(found)
            assert "\0" not in str(msgspec.json.decode(kept).values())
            if isinstance(found, Arrival):
                assert msgspec.json.decode(kept, type=Arrival) == found
                assert 0 < len(found.key) < 400
