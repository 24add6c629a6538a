"""A message that the business sends, as Meta takes it: what its body must look like, and what it says.

Section 9 of wire/whatsapp-meta.md. Stricter than Meta in one way: a key that it does not name is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from scripts.simulator.whatsapp.errors import Refusal
from scripts.simulator.whatsapp.rules import (
    INVALID,
    MISSING,
    WRONG,
    Anything,
    Figure,
    Flag,
    Many,
    Rule,
    Shape,
    Text,
    check,
)

UNSUPPORTED: Final = 131051
NEEDS_PHONE: Final = 131062

_CAPTION: Final = Text(1024, may_be_empty=True)
_FOOTER: Final = Shape({"text": Text(60)}, ("text",))
_BODY: Final = Shape({"text": Text(1024)}, ("text",))
_LONG_BODY: Final = Shape({"text": Text(4096)}, ("text",))
_HEADER: Final = Shape(
    {"type": Text(), "text": Text(60), "image": Anything(), "video": Anything(), "document": Anything()}
)
_BUTTON: Final = Shape(
    {"type": Text(among=("reply",)), "reply": Shape({"id": Text(256), "title": Text(20)}, ("id", "title"))},
    ("type", "reply"),
)
_ROW: Final = Shape({"id": Text(200), "title": Text(24), "description": Text(72, may_be_empty=True)}, ("id", "title"))
_SECTION: Final = Shape({"title": Text(24), "rows": Many(_ROW, 10)}, ("rows",))


def _interactive(body: Rule, action: Rule, *needed: str) -> Shape:
    fields: dict[str, Rule] = {"type": Text(), "header": _HEADER, "body": body, "footer": _FOOTER, "action": action}
    return Shape(fields, ("type", "action", *needed))


def _file(*more: str) -> Shape:
    extra: dict[str, Rule] = {"caption": _CAPTION, "filename": Text(240), "voice": Flag()}
    return Shape({"id": Text(64), "link": Text(2048), **{name: extra[name] for name in more}})


INTERACTIVE: Final[Mapping[str, Rule]] = {
    "button": _interactive(_BODY, Shape({"buttons": Many(_BUTTON, 3)}, ("buttons",)), "body"),
    "list": _interactive(
        _LONG_BODY, Shape({"button": Text(20), "sections": Many(_SECTION, 10)}, ("button", "sections")), "body"
    ),
    "cta_url": _interactive(
        _BODY,
        Shape(
            {
                "name": Text(among=("cta_url",)),
                "parameters": Shape({"display_text": Text(20), "url": Text(2048)}, ("display_text", "url")),
            },
            ("name", "parameters"),
        ),
        "body",
    ),
    "location_request_message": _interactive(_BODY, Shape({"name": Text(among=("send_location",))}, ("name",)), "body"),
    **dict.fromkeys(
        ("flow", "product", "product_list", "catalog_message", "call_permission_request", "carousel"), Anything()
    ),
}
KINDS: Final[Mapping[str, Rule]] = {
    "text": Shape({"body": Text(4096), "preview_url": Flag()}, ("body",)),
    "image": _file("caption"),
    "video": _file("caption"),
    "document": _file("caption", "filename"),
    "audio": _file("voice"),
    "sticker": _file(),
    "location": Shape(
        {"latitude": Figure(-90, 90), "longitude": Figure(-180, 180), "name": Text(1000), "address": Text(1000)},
        ("latitude", "longitude"),
    ),
    "contacts": Many(Anything(), 257),
    "reaction": Shape({"message_id": Text(), "emoji": Text(32, may_be_empty=True)}, ("message_id",)),
    "interactive": Anything(),
    "template": Shape(
        {
            "name": Text(),
            "language": Shape({"code": Text(15), "policy": Text(among=("deterministic",))}, ("code",)),
            "components": Many(Anything(), 20, least=0),
        },
        ("name", "language"),
    ),
}
FILES: Final = ("image", "video", "document", "audio", "sticker")
_ENVELOPE: Final = Shape(
    {
        "messaging_product": Text(among=("whatsapp",)),
        "recipient_type": Text(among=("individual",)),
        "to": Text(32),
        "recipient": Text(160),
        "type": Text(),
        "context": Shape({"message_id": Text()}, ("message_id",)),
        "biz_opaque_callback_data": Text(512),
        **dict.fromkeys(KINDS, Anything()),
    },
    ("messaging_product",),
)
_BSUID: Final = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")
_FILLER: Final = re.compile(r"[\s().-]")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is well formed. `phone` is +E.164, `user_id` a BSUID: one of them is there."""

    phone: str
    user_id: str
    input: str
    kind: str
    body: dict[str, Any]
    text: str
    reference: str = ""
    reply_to: str = ""
    callback_url: str = ""

    @property
    def names(self) -> tuple[str, str]:
        return self.phone, self.user_id

    @property
    def free_form(self) -> bool:
        """Only inside the window."""
        return self.kind != "template"


def read_letter(fields: Any, own_phone: str) -> Letter:
    """Raises `Refusal` with Meta's code for whatever is not as section 9 says."""
    if not isinstance(fields, dict):
        raise Refusal(INVALID, "the body is no JSON object")
    kind = fields.get("type", "text")
    if isinstance(kind, str) and kind not in KINDS:
        raise Refusal(UNSUPPORTED, f"type must be one of {', '.join(KINDS)}")
    check(_ENVELOPE, fields, "")
    phone, user_id = _recipient(fields, own_phone)
    if fields.get(kind) is None:
        raise Refusal(MISSING, f"{kind} is required")
    if strange := [name for name in KINDS if name != kind and name in fields]:
        raise Refusal(INVALID, f"Unexpected key {strange[0]!r} beside {kind}")
    body = fields[kind]
    check(KINDS[kind], body, kind)
    if kind == "interactive":
        _check_interactive(body)
    if kind in FILES and ("id" in body) == ("link" in body):
        raise Refusal(MISSING if "id" not in body else INVALID, f"{kind} takes an id or a link")
    reply_to = fields.get("context", {}).get("message_id", "")
    reference = fields.get("biz_opaque_callback_data", "")
    shown = fields.get("to", user_id)
    content = body if isinstance(body, dict) else {kind: body}
    return Letter(phone, user_id, shown, kind, content, readable(kind, content), reference, reply_to)


def _check_interactive(body: Any) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise Refusal(MISSING, "interactive.type is required")
    if body["type"] not in INTERACTIVE:
        raise Refusal(WRONG, f"interactive.type must be one of {', '.join(INTERACTIVE)}")
    check(INTERACTIVE[body["type"]], body, "interactive")
    if body["type"] == "list":
        rows = [row for section in body["action"]["sections"] for row in section["rows"]]
        if len(rows) > 10:
            raise Refusal(WRONG, "interactive.action.sections must have at most 10 rows in all")
        _differ([row["id"] for row in rows], "rows")
    if body["type"] == "button":
        _differ([button["reply"]["id"] for button in body["action"]["buttons"]], "buttons")


def _differ(ids: list[str], what: str) -> None:
    if len(set(ids)) < len(ids):
        raise Refusal(WRONG, f"the ids of interactive.action.{what} must differ")


def _recipient(fields: dict[str, Any], own_phone: str) -> tuple[str, str]:
    """`to` wins. A number without + gets the country code of the business in front, as at Meta."""
    if "to" in fields:
        number = _FILLER.sub("", fields["to"])
        phone = number if number.startswith("+") else f"+{country_code(own_phone)}{number}"
        if not re.fullmatch(r"\+[1-9]\d{5,17}", phone):
            raise Refusal(WRONG, "to is no phone number")
        if phone == own_phone:
            raise Refusal(131021, "the recipient is the sender")
        return phone, ""
    if "recipient" not in fields:
        raise Refusal(INVALID, "The parameter to is required")
    if not _BSUID.fullmatch(fields["recipient"]):
        raise Refusal(WRONG, "recipient is no business-scoped user id")
    return "", fields["recipient"]


def country_code(phone: str) -> str:
    """Right for North America, Russia and every country whose code has two digits, which is enough to be noticed."""
    digits = phone.lstrip("+")
    return digits[:1] if digits[:1] in ("1", "7") else digits[:2]


def readable(kind: str, body: dict[str, Any]) -> str:
    """What the user sees of it as text."""
    match kind:
        case "text":
            return str(body["body"])
        case "template":
            return " ".join([f"[template {body['name']}]", *map(str, parameters(body))])
        case "interactive":
            return str(body.get("body", {}).get("text", ""))
        case "reaction":
            return str(body.get("emoji", ""))
        case _:
            return str(body.get("caption", ""))


def parameters(template: Mapping[str, Any]) -> list[Any]:
    """The texts that fill in the body of a template. Raises `Refusal`."""
    found: list[Any] = []
    for component in template.get("components", ()):
        if not isinstance(component, dict) or not isinstance(component.get("parameters", []), list):
            raise Refusal(132012, "components must be objects with a list of parameters")
        if str(component.get("type")).lower() == "body":
            found += [item.get("text") if isinstance(item, dict) else None for item in component.get("parameters", [])]
    if not all(isinstance(text, str) and text.strip() for text in found):
        raise Refusal(132012, "each parameter must be a text that is not empty")
    return found
