"""Every type of message that Meta documents, as a fact."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels.whatsapp.updates import (
    CHOICES,
    Edit,
    Identity,
    Media,
    Message,
    Notice,
    Person,
    Reaction,
    Revoke,
    Update,
)
from tests.channels.whatsapp.bodies import (
    AT,
    CONTACT,
    FILE_SHA256,
    MESSAGES,
    PARENT_ID,
    PHONE,
    SHA256,
    USER_ID,
    message,
    only,
    value,
)

SENDER = Person(PHONE, USER_ID, PARENT_ID, "Sheena Nelson")


def read(name: str, **more: Any) -> Update:
    return only(value(messages=[message(name, **more)]))


def read_message(name: str, **more: Any) -> Message:
    update = read(name, **more)
    assert isinstance(update, Message)
    return update


READABLE = {
    "text": ("text", "Does it come in another color?", ""),
    "image": ("image", "Taj Mahal", ""),
    "voice": ("voice", "", ""),
    "audio": ("audio", "", ""),
    "video": ("video", "Look", ""),
    "document": ("document", "The bill", ""),
    "sticker": ("sticker", "", ""),
    "location": ("location", "Location: Philz, 101 Forest Ave (37.44, -122.16)", ""),
    "contacts": ("contacts", "Contact: Lucía Gómez (Acme), +1 (983) 555-2319", ""),
    "button_reply": ("button", "Cancel", "cancel"),
    "list_reply": ("list", "Priority", "express"),
    "flow": ("flow", '{"flow_token":"t"}', ""),
    "button": ("button", "Unsubscribe", "stop"),
    "order": ("order", "Order: 2 × di9 at 30 USD; 1 × x1 at 2.5 USD. Before noon", ""),
    "unsupported": ("unsupported", "", ""),
    "welcome": ("welcome", "", ""),
    "bare_interactive": ("unsupported", "", ""),
    "new_type": ("unsupported", "", ""),
}
FACTS = {"reaction": Reaction, "edit": Edit, "revoke": Revoke, "call_permission": Notice}


def test_every_message_of_the_wire_document_is_looked_at() -> None:
    assert READABLE.keys() | FACTS.keys() == MESSAGES.keys()


@pytest.mark.parametrize(("name", "expected"), READABLE.items())
def test_kind_readable_form_and_choice(name: str, expected: tuple[str, str, str]) -> None:
    found = read_message(name)
    assert (found.kind, found.text, found.choice_id) == expected
    assert (found.id, found.at, found.sender) == ("wamid.M", AT, SENDER)


@pytest.mark.parametrize("name", ["button_reply", "list_reply", "button", "flow", "welcome"])
def test_a_choice_asks_for_no_wait(name: str) -> None:
    assert read_message(name).kind in CHOICES


def test_a_file_has_its_id_type_hash_in_hex_address_and_name() -> None:
    url = "https://lookaside.fbsbx.com/1003"
    assert read_message("image").media == Media("1003", "image/jpeg", FILE_SHA256.hex(), url)
    assert read_message("document").media == Media("1911", "application/pdf", FILE_SHA256.hex(), name="a.pdf")
    assert read_message("text").media is None


@pytest.mark.parametrize("given", [SHA256.rstrip("="), FILE_SHA256.hex().upper(), SHA256.replace("+", "-")])
def test_a_hash_is_read_in_any_usual_form(given: str) -> None:
    media = read_message("sticker", sticker={"id": "1", "sha256": given}).media
    assert media is not None
    assert media.sha256 == FILE_SHA256.hex()


@pytest.mark.parametrize("given", ["", "abc", "é" * 44, SHA256[4:], 7, None, "A" * 300])
def test_what_is_no_hash_is_none(given: object) -> None:
    assert read_message("sticker", sticker={"id": "1", "sha256": given}).media == Media("1")


@pytest.mark.parametrize("part", [None, "x", [], {}, {"caption": "c"}, {"id": {}, "caption": "c"}])
def test_a_file_that_is_not_there_is_unsupported(part: object) -> None:
    found = read_message("image", image=part)
    assert (found.kind, found.media) == ("unsupported", None)
    assert found.text == ("c" if isinstance(part, dict) and part else "")


@pytest.mark.parametrize("part", [None, "x", {}, {"body": None}, {"body": " \n"}, {"body": []}])
def test_a_text_with_nothing_to_read_is_unsupported(part: object) -> None:
    assert read_message("text", text=part).kind == "unsupported"


def test_a_reply_an_ad_and_everything_else_are_kept() -> None:
    ad = {"source_id": "1", "headline": "Chat with us", "body": "Ask away", "ctwa_clid": "c"}
    found = read_message("text", context={"id": "wamid.A", "forwarded": True}, referral=ad, group_id="g")
    assert (found.reply_to, found.referral) == ("wamid.A", "Chat with us\nAsk away")
    assert found.details == {"context": {"id": "wamid.A", "forwarded": True}, "referral": ad, "group_id": "g"}
    assert read_message("text").details == {}


def test_reaction_edit_and_revoke_name_their_message() -> None:
    assert read("reaction") == Reaction("wamid.M", AT, SENDER, "wamid.A", "👍")
    assert read("reaction", reaction={"message_id": "wamid.A"}) == Reaction("wamid.M", AT, SENDER, "wamid.A")
    assert read("edit") == Edit("wamid.M", AT, SENDER, "wamid.A", "In blue")
    assert read("revoke") == Revoke("wamid.M", AT, SENDER, "wamid.A")


def test_the_caption_of_an_edited_image_is_its_text() -> None:
    edited = {"original_message_id": "wamid.A", "message": MESSAGES["image"]}
    assert read("edit", edit=edited) == Edit("wamid.M", AT, SENDER, "wamid.A", "Taj Mahal")


def test_an_answer_about_calls_is_no_message() -> None:
    assert isinstance(notice := read("call_permission"), Notice)
    assert notice.field == "call_permission_reply"


@pytest.mark.parametrize(
    "part", [None, 7, [], {"type": []}, {"type": {}}, {"type": "button_reply", "button_reply": []}]
)
def test_an_interactive_message_without_an_answer_is_unsupported(part: object) -> None:
    assert read_message("bare_interactive", interactive=part).kind == "unsupported"


PHONE_ONLY: dict[str, Any] = {"from": "16505551234", "from_user_id": None, "from_parent_user_id": None}
ID_ONLY: dict[str, Any] = {"from": None, "from_user_id": USER_ID, "from_parent_user_id": None}
NEITHER: dict[str, Any] = {"from": None, "from_user_id": None, "from_parent_user_id": None}


@pytest.mark.parametrize("known", [PHONE_ONLY, ID_ONLY, NEITHER])
def test_a_sender_known_by_one_id_is_known_by_all_of_its_contact(known: dict[str, Any]) -> None:
    assert read_message("text", **known).sender == SENDER


def test_a_sender_is_never_given_another_contacts_name() -> None:
    stranger = {**CONTACT, "wa_id": "1999", "user_id": "US.9"}
    found = only(value(messages=[message("text", **PHONE_ONLY)], contacts=[stranger, {}, None, 7]))
    assert isinstance(found, Message)
    assert found.sender == Person(PHONE)


@pytest.mark.parametrize(
    ("contact", "name"), [({"wa_id": "16505551234"}, ""), ({**CONTACT, "profile": {"username": "@s"}}, "@s")]
)
def test_names_are_optional(contact: dict[str, Any], name: str) -> None:
    found = only(value(messages=[message("text")], contacts=[contact]))
    assert isinstance(found, Message)
    assert found.sender == Person(PHONE, USER_ID, PARENT_ID, name)


def test_an_id_in_the_place_of_the_phone_number_is_an_id() -> None:
    found = only({"messages": [message("text", **{**NEITHER, "from": "IN.12ab"})]})
    assert isinstance(found, Message)
    assert found.sender == Person(user_id="IN.12ab")


CHANGES = [
    (
        {"type": "user_changed_number", "body": "b", "wa_id": "12195555358", "user_id": "US.2"}
        | {"previous_user_id": "US.1", "previous_parent_user_id": "US.ENT.1"},
        {"from": "16505551234", "from_user_id": "US.2"},
        Person("+12195555358", "US.2"),
        Person(PHONE, "US.1", "US.ENT.1"),
    ),
    (
        {"type": "customer_changed_number", "customer": "16505551234", "new_wa_id": "12195555358"},
        {"from": "12195555358"},
        Person("+12195555358"),
        Person(PHONE),
    ),
    (
        {"type": "user_changed_user_id", "user_id": "US.2", "previous_user_id": "US.1"},
        {},
        Person(user_id="US.2"),
        Person(user_id="US.1"),
    ),
    (
        {"type": "user_changed_user_id", "wa_id": "16505551234", "user_id": "US.2", "previous_user_id": "US.1"},
        {"from": "16505551234"},
        Person(PHONE, "US.2"),
        Person(user_id="US.1"),
    ),
    ({"type": "customer_identity_changed"}, {"from": "16505551234"}, Person(PHONE), Person()),
    ({"type": "customer_identity_changed", "customer": "16505551234"}, {}, Person(PHONE), Person()),
    ({"type": "user_changed_number", "previous_user_id": "US.1"}, {"from": "16505551234"}, Person(PHONE), Person()),
]


@pytest.mark.parametrize(("part", "ids", "new", "old"), CHANGES)
def test_a_system_message_says_who_is_known_as_whom(
    part: dict[str, Any], ids: dict[str, Any], new: Person, old: Person
) -> None:
    raw = {"id": "wamid.S", "timestamp": str(AT), "type": "system", "system": part, **ids}
    assert only({"messages": [raw]}) == Identity("wamid.S", AT, new, old)


def test_a_system_message_about_nobody_is_a_notice() -> None:
    raw = {"id": "wamid.S", "timestamp": str(AT), "type": "system", "system": None}
    assert isinstance(only({"messages": [raw]}), Notice)


@pytest.mark.parametrize(
    ("given", "at"),
    [
        (AT, AT),
        (str(AT), AT),
        (AT * 1000, AT),
        (AT + 0.5, AT),
        ("soon", 0),
        (None, 0),
        (-1, 0),
        (True, 0),
        ("9" * 40, 0),
    ],
)
def test_a_time_is_seconds_however_it_is_written(given: object, at: int) -> None:
    assert read_message("text", timestamp=given).at == at


def test_what_no_database_keeps_is_replaced() -> None:
    found = read_message("text", text={"body": "a\0b\ud800c👋", "\0": "\udfff"}, context={"id": "w\0"})
    assert found.text == "a\ufffdb\ufffdc👋"
    assert found.reply_to == "w\ufffd"
    json.dumps(found.details, ensure_ascii=False).encode()
    assert "\0" not in str(found.details)


def test_long_values_are_cut_and_long_ids_are_none() -> None:
    found = read_message("text", text={"body": "é" * 70_000}, context={"id": "w" * 300}, extra="x" * 70_000)
    assert (len(found.text), found.reply_to, len(found.details["extra"])) == (65_536, "", 65_536)
