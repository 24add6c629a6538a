"""Webhook forms as Twilio writes them (wire/whatsapp-twilio.md 1, 5): a user's message, a status."""

from __future__ import annotations

import json
from typing import Final

from scripts.simulator.whatsapp.errors import twilio_error
from scripts.simulator.whatsapp.exchange import Later
from scripts.simulator.whatsapp.files import File
from scripts.simulator.whatsapp.sayings import Saying, Who
from scripts.simulator.whatsapp.state import Number
from scripts.simulator.whatsapp.twilio import PREFIX

Params = list[tuple[str, str]]
#: MessageType where it is not the saying's own word.
_TYPES: Final = {"voice": "audio", "list": "interactive", "button": "interactive", "template_button": "button"}
_VERSION: Final = "2010-04-01"


def said_params(number: Number, who: Who, saying: Saying, sid: str, file: File | None, base_url: str) -> Params:
    """The form of one message."""
    address = who.phone or who.user_id
    fields = {
        **{"MessageSid": sid, "SmsMessageSid": sid, "SmsSid": sid, "AccountSid": number.business},
        **{"ApiVersion": _VERSION, "SmsStatus": "received", "From": PREFIX + address, "To": PREFIX + number.phone},
        **({"WaId": who.phone.lstrip("+")} if who.phone else {}),
        **({"ExternalUserId": PREFIX + who.user_id} if who.user_id else {}),
        **({"ProfileName": who.name} if who.name else {}),
        **{"MessageType": _TYPES.get(saying.type, saying.type), "Body": saying.text, "NumSegments": "1"},
        **{"NumMedia": "0" if file is None else "1", "ReferralNumMedia": "0"},
        "ChannelMetadata": json.dumps({"type": "whatsapp", "data": {"context": {"ProfileName": who.name}}}),
    }
    if file is not None:
        fields["MediaUrl0"] = f"{base_url}/{_VERSION}/Accounts/{number.business}/Messages/{sid}/Media/{file.id}"
        fields["MediaContentType0"] = file.media_type
    fields |= _content(saying)
    if saying.reply_to:
        fields |= {"OriginalRepliedMessageSid": saying.reply_to, "OriginalRepliedMessageSender": PREFIX + number.phone}
    if saying.forwarded:
        fields["Forwarded"] = "true"
    fields |= {f"Referral{name}": str(value) for name, value in saying.referral.items()}
    return [*(fields | {name: str(value) for name, value in saying.fields.items()}).items()]


def _content(saying: Saying) -> dict[str, str]:
    match saying.type:
        case "location":
            place = {"Latitude": str(saying.latitude), "Longitude": str(saying.longitude)}
            return place | {"Address": saying.address, "Label": saying.name}
        case "button" | "template_button":
            return {"ButtonText": saying.text, "ButtonPayload": saying.choice_id or saying.text}
        case "list":
            return {"ListId": saying.choice_id, "ListTitle": saying.text, "ListDescription": saying.description}
        case "flow":
            return {"InteractiveData": json.dumps(saying.response)}
        case "reaction":
            return {"Body": saying.emoji, "OriginalRepliedMessageSid": saying.message_id}
        case _:
            return {}


def status_params(number: Number, later: Later) -> Params:
    """The form of one status callback."""
    sent, failed = later.sent, later.status == "failed"
    name = "undelivered" if failed and len(sent.statuses) > 1 else later.status
    fields = {
        **{"MessageSid": sent.id, "SmsSid": sent.id, "MessageStatus": name, "SmsStatus": name},
        **{"AccountSid": number.business, "From": PREFIX + number.phone, "To": PREFIX + (sent.to or sent.user_id)},
        **{"ApiVersion": _VERSION, "ChannelPrefix": "whatsapp", "ChannelInstallSid": "XE" + "0" * 32},
        "ChannelToAddress": f"{sent.to[:-4]}XXXX" if sent.to else "",
        **({"EventType": name.upper()} if name in ("delivered", "read", "undelivered") else {}),
    }
    if failed:
        message = twilio_error(later.code, "")[1]["message"]
        fields |= {"ErrorCode": str(later.code), "ErrorMessage": message, "ChannelStatusMessage": message}
    return list(fields.items())
