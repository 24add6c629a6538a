"""The public client `pywa` reads the same bodies and must see the same things in them. It is given no network."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from pywa.client import WhatsApp
from pywa.types.base_update import BaseUserUpdate, RawUpdate
from pywa.types.callback import CallbackButton, CallbackSelection
from pywa.types.flows import FlowCompletion
from pywa.types.message import DeletedMessage, EditedMessage, Message
from pywa.types.message_status import MessageStatus
from pywa.types.system import PhoneNumberChange

from channels.whatsapp import updates
from tests.channels.whatsapp.bodies import AT, ERROR, MESSAGES, STATUS, arrivals, body, message, value

_CLIENT: Final = WhatsApp(phone_id="1", token="none")
_CLASSES: Final[dict[str, type[BaseUserUpdate]]] = {
    "button": CallbackButton,
    "button_reply": CallbackButton,
    "list_reply": CallbackSelection,
    "flow": FlowCompletion,
    "edit": EditedMessage,
    "revoke": DeletedMessage,
}
_FILES: Final = frozenset({"image", "voice", "audio", "video", "document", "sticker"})
_PLAIN: Final = _FILES | {"text", "location", "contacts", "order", "reaction", "unsupported"}


def pair(name: str) -> tuple[Any, Any]:
    """What we read and what they read."""
    raw = body(value(messages=[message(name)]))
    [arrival] = arrivals(raw)
    update = RawUpdate(raw, hmac_header=None, update_hash="")
    return arrival.update, _CLASSES.get(name, Message).from_update(_CLIENT, update)


@pytest.mark.parametrize("name", sorted(_PLAIN | _CLASSES.keys()))
def test_the_sender_and_the_time_agree(name: str) -> None:
    ours, them = pair(name)
    sender = them.from_user
    assert ours.sender == updates.Person("+" + sender.wa_id, sender.bsuid, sender.parent_bsuid, sender.name)
    assert datetime.fromtimestamp(ours.at, UTC) == them.timestamp
    assert them.timestamp.timestamp() == AT


@pytest.mark.parametrize("name", sorted(_PLAIN | _CLASSES.keys() - {"edit", "revoke"}))
def test_the_id_and_the_message_that_it_answers_agree(name: str) -> None:
    ours, them = pair(name)
    assert ours.id == them.id
    answered = them.reply_to_message.id if them.reply_to_message else ""
    assert getattr(ours, "reply_to", "") == answered


def test_the_text_agrees() -> None:
    ours, them = pair("text")
    assert (ours.kind, ours.text) == (them.type, them.text)


@pytest.mark.parametrize("name", sorted(_FILES))
def test_files_agree(name: str) -> None:
    ours, them = pair(name)
    assert (ours.media.id, ours.media.media_type) == (them.media.id, them.media.mime_type)
    assert ours.text == (them.caption or "")
    assert (ours.kind == "voice") == (them.voice is not None)
    assert ours.media.name == (getattr(them.media, "filename", None) or "")


@pytest.mark.parametrize("name", ["button", "button_reply", "list_reply"])
def test_choices_agree(name: str) -> None:
    ours, them = pair(name)
    assert (ours.text, ours.choice_id) == (them.title, them.data)


def test_the_response_of_a_flow_agrees() -> None:
    ours, them = pair("flow")
    assert json.loads(ours.text) == {"flow_token": them.token, **them.response}


def test_a_reaction_agrees() -> None:
    ours, them = pair("reaction")
    assert (ours.target_id, ours.emoji) == (them.reaction.message_id, them.reaction.emoji)


def test_an_edit_and_a_revoke_agree_on_the_message_they_are_about() -> None:
    edit, their_edit = pair("edit")
    assert (edit.id, edit.target_id) == (their_edit.id, their_edit.original_message_id)
    assert edit.text == their_edit.message.text
    revoke, their_revoke = pair("revoke")
    assert (revoke.id, revoke.target_id) == (their_revoke.id, their_revoke.original_message_id)


def test_what_cannot_be_shown_agrees() -> None:
    ours, them = pair("unsupported")
    assert ours.kind == them.type
    assert ours.details["unsupported"]["type"] == them.unsupported.type
    assert ours.details["errors"][0]["code"] == them.error.code


def test_places_contacts_and_orders_agree() -> None:
    place, their_place = pair("location")
    assert place.text.endswith(f"({their_place.location.latitude}, {their_place.location.longitude})")
    order, their_order = pair("order")
    assert all(product.sku in order.text for product in their_order.order.products)
    assert MESSAGES["contacts"]["contacts"][0]["name"]["formatted_name"] in pair("contacts")[0].text


@pytest.mark.parametrize("status", ["sent", "delivered", "read", "played", "failed"])
def test_statuses_agree(status: str) -> None:
    raw = body(value(statuses=[{**STATUS, "status": status, "errors": [ERROR]}]))
    [arrival] = arrivals(raw)
    ours: Any = arrival.update
    them: Any = MessageStatus.from_update(_CLIENT, RawUpdate(raw, hmac_header=None, update_hash=""))
    assert (ours.provider_id, ours.status, ours.reference) == (them.id, them.status, them.tracker)
    assert (ours.error_code, ours.error) == (str(them.error.code), them.error.details)
    assert ours.recipient.phone == "+" + them.from_user.wa_id


def test_a_changed_number_agrees() -> None:
    part = {"type": "user_changed_number", "body": "b", "wa_id": "12195555358", "user_id": "US.2"}
    raw = body({"metadata": value()["metadata"], "messages": [message("text", type="system", system=part)]})
    [arrival] = arrivals(raw)
    ours: Any = arrival.update
    them: Any = PhoneNumberChange.from_update(_CLIENT, RawUpdate(raw, hmac_header=None, update_hash=""))
    assert (ours.old.phone, ours.new.phone) == ("+" + them.old_wa_id, "+" + them.new_wa_id)
    assert ours.new.user_id == them.new_user_id
