"""Bodies as Meta sends them: the shapes of wire/whatsapp-meta.md §4-8 in an envelope."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

from channels.whatsapp import meta
from channels.whatsapp.updates import Arrival, Broken, Update

ACCOUNT = "106540352242922"
BUSINESS = "102290129340398"
AT = 1_750_857_384
PHONE = "+16505551234"
USER_ID = "US.13491208655302741918"
PARENT_ID = "US.ENT.11815799212886844830"
CONTACT = {
    "profile": {"name": "Sheena Nelson", "username": "@sheena"},
    "wa_id": "16505551234",
    "user_id": USER_ID,
    "parent_user_id": PARENT_ID,
    "identity_key_hash": "DF2lS5v2W6x=",
}
FILE_SHA256 = sha256(b"a file").digest()
SHA256 = b64encode(FILE_SHA256).decode()
REPLY = {"from": "15550783881", "id": "wamid.A"}

#: A message's own part by a name for it.
MESSAGES: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": {"body": "Does it come in another color?"}},
    "image": {
        "type": "image",
        "image": {
            "id": "1003",
            "mime_type": "image/jpeg",
            "sha256": SHA256,
            "caption": "Taj Mahal",
            "url": "https://lookaside.fbsbx.com/1003",
        },
    },
    "voice": {
        "type": "audio",
        "audio": {"id": "1908", "mime_type": "audio/ogg; codecs=opus", "sha256": SHA256, "voice": True},
    },
    "audio": {"type": "audio", "audio": {"id": "1909", "mime_type": "audio/mpeg", "sha256": SHA256, "voice": False}},
    "video": {
        "type": "video",
        "video": {"id": "1910", "mime_type": "video/mp4", "sha256": SHA256, "caption": "Look"},
    },
    "document": {
        "type": "document",
        "document": {
            "id": "1911",
            "mime_type": "application/pdf",
            "sha256": SHA256,
            "filename": "a.pdf",
            "caption": "The bill",
        },
    },
    "sticker": {
        "type": "sticker",
        "sticker": {"id": "1912", "mime_type": "image/webp", "sha256": SHA256, "animated": False},
    },
    "location": {
        "type": "location",
        "location": {
            "latitude": 37.44,
            "longitude": -122.16,
            "name": "Philz",
            "address": "101 Forest Ave",
            "url": "https://philz.example",
        },
    },
    "contacts": {
        "type": "contacts",
        "contacts": [
            {
                "name": {"formatted_name": "Lucía Gómez", "first_name": "Lucía"},
                "phones": [{"phone": "+1 (983) 555-2319", "wa_id": "19835552319", "type": "MOBILE"}],
                "org": {"company": "Acme"},
                "origin": "contact_request",
                "vcard": "BEGIN:VCARD",
            }
        ],
    },
    "button_reply": {
        "type": "interactive",
        "interactive": {"type": "button_reply", "button_reply": {"id": "cancel", "title": "Cancel"}},
        "context": REPLY,
    },
    "list_reply": {
        "type": "interactive",
        "interactive": {
            "type": "list_reply",
            "list_reply": {"id": "express", "title": "Priority", "description": "Next day"},
        },
        "context": REPLY,
    },
    "flow": {
        "type": "interactive",
        "interactive": {
            "type": "nfm_reply",
            "nfm_reply": {"name": "flow", "body": "Sent", "response_json": '{"flow_token":"t"}'},
        },
    },
    "call_permission": {
        "type": "interactive",
        "interactive": {
            "type": "call_permission_reply",
            "call_permission_reply": {
                "response": "accept",
                "is_permanent": False,
                "expiration_timestamp": 1752000000,
                "response_source": "user_action",
            },
        },
    },
    "button": {
        "type": "button",
        "button": {"payload": "stop", "text": "Unsubscribe"},
        "context": REPLY,
    },
    "reaction": {"type": "reaction", "reaction": {"message_id": "wamid.A", "emoji": "👍"}},
    "order": {
        "type": "order",
        "order": {
            "catalog_id": "1948",
            "text": "Before noon",
            "product_items": [
                {"product_retailer_id": "di9", "quantity": 2, "item_price": 30, "currency": "USD"},
                {"product_retailer_id": "x1", "quantity": 1, "item_price": 2.5, "currency": "USD"},
            ],
        },
    },
    "unsupported": {
        "type": "unsupported",
        "errors": [
            {"code": 131051, "title": "Message type unknown", "message": "m", "error_data": {"details": "Not known."}}
        ],
        "unsupported": {"type": "poll"},
    },
    "edit": {
        "type": "edit",
        "edit": {"original_message_id": "wamid.A", "message": {"type": "text", "text": {"body": "In blue"}}},
    },
    "revoke": {"type": "revoke", "revoke": {"original_message_id": "wamid.A"}},
    "welcome": {"type": "request_welcome"},
    "bare_interactive": {"type": "interactive"},
    "new_type": {"type": "hologram", "hologram": {"id": "1"}},
}

STATUS: dict[str, Any] = {
    "id": "wamid.A",
    "status": "delivered",
    "timestamp": str(AT),
    "recipient_id": "16505551234",
    "recipient_user_id": USER_ID,
    "parent_recipient_user_id": PARENT_ID,
    "recipient_identity_key_hash": "DF2l",
    "biz_opaque_callback_data": "send-1",
    "pricing": {"billable": True, "pricing_model": "PMP", "type": "free_customer_service", "category": "service"},
}
ERROR: dict[str, Any] = {
    "code": 131049,
    "title": "Not delivered",
    "message": "The message was not delivered.",
    "error_data": {"details": "In order to keep a healthy ecosystem."},
    "href": "https://example.com",
}


def message(name: str, message_id: str = "wamid.M", **more: Any) -> dict[str, Any]:
    """That message as an entry of `messages`, from the user of `CONTACT`."""
    common = {
        "id": message_id,
        "timestamp": str(AT),
        "from": "16505551234",
        "from_user_id": USER_ID,
        "from_parent_user_id": PARENT_ID,
    }
    return {**common, **MESSAGES[name], **more}


def value(**parts: Any) -> dict[str, Any]:
    """The value of a change; `account` is its phone number id."""
    account = parts.pop("account", ACCOUNT)
    metadata = {"display_phone_number": "15550783881", "phone_number_id": account}
    return {"messaging_product": "whatsapp", "metadata": metadata, "contacts": [CONTACT], **parts}


def body(*values: Any, field: str = "messages") -> bytes:
    """One change for each value, as Meta writes JSON: non-ASCII and `/` escaped."""
    changes = [{"field": field, "value": each} for each in values]
    text = json.dumps({"object": "whatsapp_business_account", "entry": [{"id": BUSINESS, "changes": changes}]})
    return text.replace("/", "\\/").encode()


def arrivals(raw: bytes) -> list[Arrival]:
    """What was read of a body that has nothing broken in it."""
    found = meta.read(raw)
    assert not [part for part in found if isinstance(part, Broken)]
    return [part for part in found if isinstance(part, Arrival)]


def only(*values: Any, field: str = "messages") -> Update:
    """The one update in a body."""
    [arrival] = arrivals(body(*values, field=field))
    return arrival.update
