"""Webhooks of Twilio: a message and a status callback as facts (wire/whatsapp-twilio.md §1, §5). Nothing here raises.

Twilio tells no times: `at` is 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from channels.whatsapp import one_line
from channels.whatsapp.lenient import (
    LONGEST_LINE,
    LONGEST_NAME,
    LONGEST_URL,
    identifier,
    line,
    phone,
    storable,
    text,
)
from channels.whatsapp.twilio_signature import signed
from channels.whatsapp.updates import (
    Arrival,
    Broken,
    Media,
    Message,
    MessageKind,
    Notice,
    Person,
    Reaction,
    Status,
    StatusName,
    Update,
)

__all__ = ["read", "read_status", "signed"]

Params = Sequence[tuple[str, str]]

_CHANNEL: Final = "whatsapp:"
MOST_FILES: Final = 10
#: Fields that a message holds under names of its own, or that say nothing.
_TOLD: Final = frozenset(
    {
        *("MessageSid", "SmsMessageSid", "SmsSid", "SmsStatus", "ApiVersion", "NumSegments", "NumMedia"),
        *("From", "To", "WaId", "ExternalUserId", "ProfileName", "Body"),
    }
)
_STATUSES: Final[Mapping[str, StatusName]] = {
    "accepted": "accepted",
    "scheduled": "accepted",
    "queued": "accepted",
    "sending": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}


def read(params: Params) -> Arrival | Broken:
    """The message in an inbound webhook."""
    form = _form(params)
    account = _number(form.get("To", ""))
    message_id, sender = identifier(form.get("MessageSid") or form.get("SmsMessageSid")), _sender(form)
    if not message_id:
        return Broken(account, "The message has no MessageSid.", _json(params))
    if not sender.aliases:
        return Broken(account, "The message does not say who sent it.", _json(params))
    return Arrival(account, message_id, _update(form, message_id, sender), identifier(form.get("AccountSid")))


def read_status(params: Params, reference: str) -> Arrival | Broken:
    """A status callback for the send that `reference` names. A status that is not known is a notice."""
    form = _form(params)
    account, business = _number(form.get("From", "")), identifier(form.get("AccountSid"))
    provider_id = identifier(form.get("MessageSid") or form.get("SmsSid"))
    if not provider_id:
        return Broken(account, "The status has no MessageSid.", _json(params))
    told = line(form.get("MessageStatus") or form.get("SmsStatus"), 64).lower()
    if form.get("EventType", "").upper() == "READ" and _STATUSES.get(told) != "failed":
        told = "read"
    status = _STATUSES.get(told)
    key = f"{provider_id}:{told}"
    if status is None:
        return Arrival(account, key, Notice("status", dict(form)), business)
    code = identifier(form.get("ErrorCode"))
    words = form.get("ErrorMessage") or form.get("ChannelStatusMessage")
    recipient = _person(form.get("To", ""))
    fact = Status(provider_id, status, 0, recipient, reference, "" if code == "0" else code, text(words, LONGEST_LINE))
    return Arrival(account, key, fact, business)


def _update(form: Mapping[str, str], message_id: str, sender: Person) -> Update:
    answered = identifier(form.get("OriginalRepliedMessageSid"))
    if form.get("MessageType") == "reaction":
        emoji = text(form.get("Body"), 64)
        return Reaction(message_id, 0, sender, answered, emoji) if answered else Notice("reaction", dict(form))
    media = _media(form)
    kind, words, choice_id = _contents(form, media)
    return Message(
        message_id,
        0,
        sender,
        kind,
        words,
        media,
        reply_to=answered,
        choice_id=choice_id,
        referral="\n".join(said for name in ("ReferralHeadline", "ReferralBody") if (said := form.get(name))),
        details={name: value for name, value in form.items() if name not in _TOLD},
    )


def _contents(form: Mapping[str, str], media: Media | None) -> tuple[MessageKind, str, str]:
    """Kind, readable form and id of the choice."""
    body = form.get("Body", "")
    if media is not None:
        return _kind(form, media.media_type), body, ""
    if form.get("ListId"):
        return "list", form.get("ListTitle") or body or form["ListId"], form["ListId"][:LONGEST_LINE]
    if label := form.get("ButtonText") or form.get("ButtonPayload"):
        return "button", label, form.get("ButtonPayload", "")[:LONGEST_LINE]
    if flow := form.get("FlowData") or form.get("InteractiveData"):
        return "flow", flow, ""
    if place := _place(form):
        return "location", place, ""
    return ("text", body, "") if body.strip() else ("unsupported", "", "")


def _place(form: Mapping[str, str]) -> str:
    if not (form.get("Latitude") and form.get("Longitude")):
        return ""
    names = {"latitude": "Latitude", "longitude": "Longitude", "name": "Label", "address": "Address"}
    return one_line.location({name: form.get(param, "") for name, param in names.items()})


def _media(form: Mapping[str, str]) -> Media | None:
    """The first file there is; WhatsApp sends one in a message, and the names of others stay in the details."""
    for index in range(MOST_FILES):
        url = form.get(f"MediaUrl{index}", "")
        if 0 < len(url) <= LONGEST_URL:
            return Media(media_type=line(form.get(f"MediaContentType{index}")), url=url)
    return None


def _kind(form: Mapping[str, str], media_type: str) -> MessageKind:
    """There is no flag for a voice note: audio in an Ogg container is one."""
    family, _, sub = media_type.partition(";")[0].strip().lower().partition("/")
    if form.get("MessageType") == "sticker":
        return "sticker"
    match family:
        case "audio":
            return "voice" if sub == "ogg" else "audio"
        case "image":
            return "image"
        case "video":
            return "video"
        case _:
            return "document"


def _sender(form: Mapping[str, str]) -> Person:
    person = _person(form.get("From", ""))
    own_id = identifier(_plain(form.get("ExternalUserId", "")))
    return Person(
        person.phone or phone(form.get("WaId")),
        own_id or person.user_id,
        name=line(form.get("ProfileName"), LONGEST_NAME),
    )


def _person(address: str) -> Person:
    """An address that is no phone number belongs to a user who hides theirs: it is the id that answers go to."""
    found = phone(_plain(address))
    return Person(found, "" if found else identifier(_plain(address).lstrip("+")))


def _number(address: str) -> str:
    return phone(_plain(address)) or identifier(_plain(address))


def _plain(address: str) -> str:
    return address.strip().removeprefix(_CHANNEL)


def _form(params: Params) -> dict[str, str]:
    """The first value of each name, as it can be kept."""
    form: dict[str, str] = {}
    for name, value in params:
        form.setdefault(text(name), text(value))
    return form


def _json(params: Params) -> str:
    pairs: list[Any] = [[storable(name), storable(value)] for name, value in params]
    return msgspec.json.encode(pairs).decode()
