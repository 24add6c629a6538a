"""The part of an inbound message that depends on its type (wire/whatsapp-meta.md section 6), as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from scripts.simulator.whatsapp.errors import meta_status_error
from scripts.simulator.whatsapp.sayings import Kind, Saying

Json = dict[str, Any]


def filled(item: Json) -> Json:
    """Without what is empty."""
    return {name: value for name, value in item.items() if value != ""}


def content(saying: Saying, file: Json) -> Json:
    """`type` and the object of that name; nothing for `raw`, whose fields the sender gives."""
    return _CONTENTS[saying.type](saying, file) if saying.type in _CONTENTS else {}


def _of(kind: str, make: Callable[[Saying, Json], Any]) -> Callable[[Saying, Json], Json]:
    return lambda saying, file: {"type": kind, kind: make(saying, file)}


def _reply(kind: str) -> Callable[[Saying, Json], Json]:
    def make(saying: Saying, file: Json) -> Json:
        choice = {"id": saying.choice_id, "title": saying.text, "description": saying.description}
        return {"type": kind, kind: filled(choice)}

    return _of("interactive", make)


def _flow(saying: Saying, file: Json) -> Json:
    reply = {"name": "flow", "body": saying.text or "Sent", "response_json": json.dumps(saying.response)}
    return {"type": "nfm_reply", "nfm_reply": reply}


def _place(saying: Saying, file: Json) -> Json:
    point = {"latitude": saying.latitude, "longitude": saying.longitude}
    return point | filled({"name": saying.name, "address": saying.address})


def _edit(saying: Saying, file: Json) -> Json:
    new = {"type": "text", "text": {"body": saying.text}}
    return {"original_message_id": saying.message_id, "message": new}


def _unsupported(saying: Saying, file: Json) -> Json:
    errors = [meta_status_error(131051, "")]
    return {"type": "unsupported", "errors": errors, "unsupported": {"type": saying.text or "poll"}}


_CONTENTS: Final[Mapping[Kind, Callable[[Saying, Json], Json]]] = {
    "text": _of("text", lambda saying, file: {"body": saying.text}),
    "image": _of("image", lambda saying, file: file | filled({"caption": saying.text})),
    "video": _of("video", lambda saying, file: file | filled({"caption": saying.text})),
    "sticker": _of("sticker", lambda saying, file: file | {"animated": False}),
    "voice": _of("audio", lambda saying, file: file | {"voice": True}),
    "audio": _of("audio", lambda saying, file: file | {"voice": False}),
    "document": _of(
        "document", lambda saying, file: file | filled({"caption": saying.text, "filename": saying.name or "notes.pdf"})
    ),
    "location": _of("location", _place),
    "contacts": _of("contacts", lambda saying, file: saying.contacts),
    "order": _of(
        "order", lambda saying, file: {"catalog_id": "1948", "text": saying.text, "product_items": saying.items}
    ),
    "button": _reply("button_reply"),
    "list": _reply("list_reply"),
    "flow": _of("interactive", _flow),
    "template_button": _of(
        "button", lambda saying, file: {"payload": saying.choice_id or saying.text, "text": saying.text}
    ),
    "reaction": _of(
        "reaction", lambda saying, file: {"message_id": saying.message_id} | filled({"emoji": saying.emoji})
    ),
    "edit": _of("edit", _edit),
    "revoke": _of("revoke", lambda saying, file: {"original_message_id": saying.message_id}),
    "system": _of("system", lambda saying, file: {"type": "user_changed_user_id", "body": saying.text}),
    "welcome": lambda saying, file: {"type": "request_welcome"},
    "unsupported": _unsupported,
}
