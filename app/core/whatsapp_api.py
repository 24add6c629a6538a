"""What people and keys send on WhatsApp through the platform API, and how far it has come (channels.md section 1)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from app.core.chat_fields import Body
from app.core.errors import Problem
from app.core.public_hosts import LONGEST_URL, read_target

#: A phone in E.164, or an id of a user whose phone is hidden, such as `US.13491208655302741918`.
To = Annotated[
    str,
    Meta(
        pattern=r"^(\+[1-9][0-9]{6,14}|[A-Z]{2}\.[A-Za-z0-9]{1,128})\Z",
        description="the phone with its country's code, or the user id where the phone is hidden",
        examples=["+919876543210"],
    ),
]
Id = Annotated[str, Meta(min_length=1, max_length=64)]
ReplyTo = Annotated[str, Meta(min_length=1, max_length=64, description="id of the message that this one answers")]
Silence = Annotated[bool, Meta(description="true without it; for templates false")]
Text = Annotated[str, Meta(min_length=1, max_length=65_536)]
Caption = Annotated[str, Meta(max_length=1024)]
MediaKind = Literal["image", "audio", "video", "document", "sticker"]
Status = Literal["queued", "sending", "unknown", "accepted", "sent", "delivered", "read", "played", "failed", "dropped"]
Components = Annotated[list[dict[str, Any]], Meta(max_length=20, description="as Meta's Cloud API takes them")]
LARGEST_OBJECT: Final = 32 * 1024
CAPTIONED: Final = ("image", "video", "document")


class Addressed(Body, frozen=True):
    """To whom: a conversation that there is, or `to`. `number_id` is needed where several numbers might be meant.

    The bot is silent in the conversation from then on, unless `silence_bot` is false.
    """

    to: To | None = None
    conversation_id: Id | None = None
    number_id: Id | None = None
    reply_to: ReplyTo | None = None
    silence_bot: Silence | None = None


class NewText(Addressed, frozen=True, kw_only=True):
    """The body of POST /api/v1/whatsapp/messages. What is too long for one message goes out in parts, in order."""

    text: Text
    preview_url: bool = False


class NewTemplate(Addressed, frozen=True, kw_only=True):
    """The body of POST /api/v1/whatsapp/template. At Twilio `name` is the content SID, and `variables` go with it."""

    name: Annotated[str, Meta(min_length=1, max_length=512, examples=["order_update"])]
    language: Annotated[str, Meta(min_length=2, max_length=20)] = "en"
    components: Components = msgspec.field(default_factory=list)
    variables: dict[str, str] = msgspec.field(default_factory=dict)


class NewMedia(Addressed, frozen=True, kw_only=True):
    """The body of POST /api/v1/whatsapp/media: a file that the provider fetches from `link`."""

    kind: MediaKind
    link: Annotated[
        str,
        Meta(min_length=1, max_length=LONGEST_URL, description="https, public", examples=["https://example.com/a.jpg"]),
    ]
    caption: Caption = ""
    filename: Annotated[str, Meta(max_length=240, description="of a document")] = ""


class NewInteractive(Addressed, frozen=True, kw_only=True):
    """The body of POST /api/v1/whatsapp/interactive: `interactive` as Meta's Cloud API takes it."""

    interactive: dict[str, Any]


class Queued(msgspec.Struct, frozen=True):
    """Written down to be sent. `wamids` are the provider's ids, of which there are none yet."""

    message_id: str
    conversation_id: str
    status: Status
    parts: int
    wamids: list[str]


class SendPart(msgspec.Struct, frozen=True):
    """One part of a message. `reason` and `error` say why it was not sent."""

    part: int
    status: str
    wamid: str | None
    reason: str | None
    error: str | None
    attempts: int
    updated_at: str


class SentMessage(msgspec.Struct, frozen=True):
    """How far a message has come: as far as its part that has come least far."""

    message_id: str
    conversation_id: str
    status: str
    parts: list[SendPart]
    wamids: list[str]
    created_at: str


def check_address(new: Addressed) -> None:
    """Raises Problem 400 unless it says exactly one way to whom."""
    if new.to is None and new.conversation_id is None:
        raise Problem("missing_required_parameter", "Say to whom: `to` or `conversation_id`.", "to")
    if new.to is not None and new.conversation_id is not None:
        raise Problem("invalid_value", "Send either `to` or `conversation_id`, not both.", "to")


def check_media(new: NewMedia) -> None:
    """Raises Problem 400 for a link that nobody can fetch, and for words where none are shown."""
    try:
        read_target(new.link)
    except Problem as problem:
        raise Problem(problem.code, problem.message.replace("url", "link", 1), "link") from None
    if new.caption and new.kind not in CAPTIONED:
        raise Problem("invalid_value", f"A message with {new.kind} has no caption.", "caption")
    if new.filename and new.kind != "document":
        raise Problem("invalid_value", "Only a document has a filename.", "filename")


def check_size(value: Any, param: str) -> None:
    """Raises Problem 400 for an object that is larger than any provider takes."""
    if len(msgspec.json.encode(value)) > LARGEST_OBJECT:
        raise Problem("invalid_value", f"{param} is larger than {LARGEST_OBJECT} bytes.", param)


def interactive_text(interactive: dict[str, Any]) -> str:
    """What people read of it in the inbox. Raises Problem 400 where Meta's two necessary parts are missing."""
    kind, body = interactive.get("type"), interactive.get("body")
    if not isinstance(kind, str) or not kind:
        raise Problem("missing_required_parameter", "interactive.type is needed, such as `button`.", "interactive.type")
    if not isinstance(interactive.get("action"), dict):
        raise Problem("missing_required_parameter", "interactive.action is needed.", "interactive.action")
    text = body.get("text") if isinstance(body, dict) else None
    return text if isinstance(text, str) else f"[{kind[:40]}]"
