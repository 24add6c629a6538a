"""Webhook bodies as Meta writes them (wire/whatsapp-meta.md 4 to 8): messages, statuses, calls, echoes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from scripts.simulator.whatsapp.errors import meta_status_error
from scripts.simulator.whatsapp.exchange import Later
from scripts.simulator.whatsapp.files import File
from scripts.simulator.whatsapp.meta_contents import content, filled
from scripts.simulator.whatsapp.sayings import Saying, Who
from scripts.simulator.whatsapp.state import Number

Json = dict[str, Any]
#: At most so many updates are in one body.
BATCH: Final = 1000


class Update(NamedTuple):
    """One thing that happened: the webhook field it belongs to, the list it is in, and who is named with it."""

    field: str
    array: str
    item: Json
    contact: Json | None = None


def written(payload: Any) -> bytes:
    """JSON as Meta sends it: everything but ASCII escaped, and the slash too."""
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


def body_of(sources: Sequence[tuple[Number, Sequence[Update]]], layout: Literal["message", "change", "entry"]) -> bytes:
    """One body with all of it. `message`: one change a number and field; `change`, `entry`: one each update."""
    entries: list[Json] = []
    for number, updates in sources:
        changes = list(_changes(number, updates, apart=layout != "message"))
        for group in [changes] if layout != "entry" else [[change] for change in changes]:
            entries.append({"id": number.business, "changes": group})
    return written({"object": "whatsapp_business_account", "entry": entries})


def _changes(number: Number, updates: Iterable[Update], *, apart: bool) -> Iterable[Json]:
    groups: dict[Any, list[Update]] = {}
    for place, update in enumerate(updates):
        groups.setdefault((update.field, place if apart else 0), []).append(update)
    for (name, _), group in groups.items():
        shown = {"display_phone_number": number.phone.lstrip("+"), "phone_number_id": number.account}
        value: Json = {"messaging_product": "whatsapp", "metadata": shown}
        contacts = {msgspec.json.encode(update.contact): update.contact for update in group if update.contact}
        if contacts:
            value["contacts"] = list(contacts.values())
        for update in group:
            value.setdefault(update.array, []).append(update.item)
        yield {"field": name, "value": value}


def status_update(number: Number, later: Later) -> Update:
    """One of `statuses`; what is billed comes with `sent` and `delivered`."""
    sent = later.sent
    item: Json = {"id": sent.id, "status": later.status, "timestamp": str(int(later.at))}
    item |= {"recipient_id": sent.to.lstrip("+")} if sent.to else {}
    item |= {"recipient_user_id": sent.user_id} if sent.user_id else {}
    item |= {"biz_opaque_callback_data": sent.reference} if sent.reference else {}
    if later.status in ("sent", "delivered"):
        paid = sent.kind == "template"
        item["pricing"] = {
            **{"billable": paid, "pricing_model": "PMP", "type": "regular" if paid else "free_customer_service"},
            "category": "utility" if paid else "service",
        }
    if later.code:
        item["errors"] = [meta_status_error(later.code, "")]
    return Update("messages", "statuses", item)


def said_update(number: Number, who: Who, saying: Saying, message_id: str, at: float, file: Json | None) -> Update:
    """What a user has said, or, as an `echo`, what a human has written to the user in the phone app."""
    item: Json = {"id": message_id, "timestamp": str(int(at))}
    if saying.type == "echo":
        item |= {"from": number.phone.lstrip("+"), "to": who.phone.lstrip("+"), "to_user_id": who.user_id}
        item |= {"type": "text", "text": {"body": saying.text}} | saying.fields
        return Update("smb_message_echoes", "message_echoes", filled(item), _contact(who))
    item |= {"from": who.phone.lstrip("+"), "from_user_id": who.user_id, "from_parent_user_id": who.parent_id}
    if saying.type == "call":
        item |= {"to": number.phone.lstrip("+"), "event": "connect", "direction": "USER_INITIATED"}
        item |= {"session": {"sdp_type": "offer", "sdp": "v=0\r\n"}} | saying.fields
        return Update("calls", "calls", filled(item), _contact(who))
    item |= content(saying, file or {}) | _surroundings(number, saying) | saying.fields
    return Update("messages", "messages", filled(item), None if saying.type == "system" else _contact(who))


def file_fields(file: File, url: str) -> Json:
    """The object that stands for a file in a message."""
    return {"mime_type": file.media_type, "sha256": file.base64_hash, "id": file.id, "url": url}


def _contact(who: Who) -> Json:
    ids = {"wa_id": who.phone.lstrip("+"), "user_id": who.user_id, "parent_user_id": who.parent_id}
    return ({"profile": {"name": who.name}} if who.name else {}) | filled(ids)


def _surroundings(number: Number, saying: Saying) -> Json:
    context: Json = {"from": number.phone.lstrip("+"), "id": saying.reply_to} if saying.reply_to else {}
    context |= {"forwarded": True} if saying.forwarded else {}
    return ({"context": context} if context else {}) | ({"referral": saying.referral} if saying.referral else {})
