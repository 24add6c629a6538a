"""What Meta tells besides messages of users: statuses, echoes of the phone app, calls (wire/whatsapp-meta.md §4, 7, 8).

Each function gives the event key and the fact, and raises `Unreadable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from channels.whatsapp.lenient import LONGEST_LINE, identifier, kept, line, mapping, moment, sequence, text
from channels.whatsapp.meta_contents import read_contents
from channels.whatsapp.meta_messages import Unreadable
from channels.whatsapp.meta_people import Contacts, named, sender
from channels.whatsapp.updates import Call, Echo, Notice, Status, StatusName, Update

_STATUSES: Final[Mapping[str, StatusName]] = {
    "accepted": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "played": "played",
    "failed": "failed",
}
LONGEST_EVENT: Final = 64


def read_status(raw: Mapping[str, Any], contacts: Contacts) -> tuple[str, Update]:
    """A status of a call, or one that is not known, is a notice: it moves no message."""
    provider_id, at = _id(raw, "status"), moment(raw.get("timestamp"))
    told = line(raw.get("status"), LONGEST_EVENT)
    status = _STATUSES.get(told.lower())
    if status is None or raw.get("type") == "call":
        return f"{provider_id}:{told}", Notice("status", kept(raw), at)
    ids = named(raw.get("recipient_id"), raw.get("recipient_user_id"), raw.get("parent_recipient_user_id"))
    code, error = _error(raw)
    reference = identifier(raw.get("biz_opaque_callback_data"))
    fact = Status(provider_id, status, at, contacts.whole(ids), reference, code, error)
    return f"{provider_id}:{status}", fact


def read_echo(raw: Mapping[str, Any], contacts: Contacts) -> tuple[str, Update]:
    """Of `smb_message_echoes`: a person has answered with the phone app."""
    echo_id = _id(raw, "echo")
    to = contacts.whole(named(raw.get("to"), raw.get("to_user_id"), raw.get("to_parent_user_id")))
    if not to.aliases:
        raise Unreadable("The echo does not say whom it was sent to.")
    kind = line(raw.get("type"), LONGEST_EVENT)
    return echo_id, Echo(echo_id, moment(raw.get("timestamp")), to, kind, read_contents(raw).text)


def read_call(raw: Mapping[str, Any], contacts: Contacts) -> tuple[str, Update]:
    """A call that the business itself began is a notice."""
    call_id, at = _id(raw, "call"), moment(raw.get("timestamp"))
    event = line(raw.get("event"), LONGEST_EVENT)
    key = f"{call_id}:{event}"
    if raw.get("direction") == "BUSINESS_INITIATED":
        return key, Notice("calls", kept(raw), at)
    caller = contacts.sender(sender(raw))
    if not caller.aliases:
        raise Unreadable("The call does not say who called.")
    return key, Call(call_id, at, caller, event)


def _id(raw: Mapping[str, Any], what: str) -> str:
    found = identifier(raw.get("id"))
    if not found:
        raise Unreadable(f"The {what} has no id.")
    return found


def _error(raw: Mapping[str, Any]) -> tuple[str, str]:
    """Code and details of the first error."""
    error = mapping(next(iter(sequence(raw.get("errors"))), None))
    data = error.get("error_data")
    details = data if isinstance(data, str) else mapping(data).get("details")
    words = (text(said, LONGEST_LINE) for said in (details, error.get("message"), error.get("title")))
    return identifier(error.get("code")), next((said for said in words if said), "")
