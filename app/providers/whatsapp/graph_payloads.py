"""A letter as the Graph API takes it (wire/whatsapp-meta.md section 9). Pure."""

from __future__ import annotations

from typing import Any, assert_never

from app.providers.whatsapp.choices import interactive, numbered
from app.providers.whatsapp.letters import checked_media
from app.providers.whatsapp.line import (
    ChoiceContent,
    Content,
    InteractiveContent,
    Letter,
    MediaContent,
    ReactionContent,
    Recipient,
    Refused,
    TemplateContent,
    TextContent,
)


def message(letter: Letter) -> dict[str, Any]:
    """The body of POST /{phone_number_id}/messages. Raises Refused for what WhatsApp cannot carry."""
    body: dict[str, Any] = {"messaging_product": "whatsapp", "recipient_type": "individual", **_to(letter.to)}
    if letter.reply_to and not isinstance(letter.content, ReactionContent):
        body["context"] = {"message_id": letter.reply_to}
    if letter.reference:
        body["biz_opaque_callback_data"] = letter.reference
    return body | _content(letter.content)


def read_and_typing(message_id: str) -> dict[str, Any]:
    """Marks the user's message as read and shows that an answer is being written."""
    return {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": message_id,
        "typing_indicator": {"type": "text"},
    }


def _to(to: Recipient) -> dict[str, str]:
    """Always with `+`: a bare number gets the business's own country code put in front."""
    if to.phone:
        return {"to": f"+{to.phone.removeprefix('+')}"}
    if to.user_id:
        return {"recipient": to.user_id}
    raise Refused("recipient", "no_recipient", "Nothing is known of this user that a message could be sent to.")


def _content(content: Content) -> dict[str, Any]:
    match content:
        case TextContent(body, preview_url):
            return {"type": "text", "text": {"body": body, "preview_url": preview_url}}
        case TemplateContent():
            return {"type": "template", "template": _template(content)}
        case MediaContent(kind):
            return {"type": kind, kind: _media(checked_media(content))}
        case ChoiceContent():
            shown = interactive(content)
            return _content(TextContent(numbered(content))) if shown is None else _interactive(shown)
        case InteractiveContent(shown):
            return _interactive(shown)
        case ReactionContent(target_id, emoji):
            return {"type": "reaction", "reaction": {"message_id": target_id, "emoji": emoji}}
    assert_never(content)


def _interactive(shown: dict[str, Any]) -> dict[str, Any]:
    return {"type": "interactive", "interactive": shown}


def _template(content: TemplateContent) -> dict[str, Any]:
    template: dict[str, Any] = {"name": content.name, "language": {"code": content.language}}
    return template | ({"components": list(content.components)} if content.components else {})


def _media(content: MediaContent) -> dict[str, Any]:
    media: dict[str, Any] = {"id": content.media_id} if content.media_id else {"link": content.link}
    if content.caption:
        media["caption"] = content.caption
    if content.filename and content.kind == "document":
        media["filename"] = content.filename
    if content.voice and content.kind == "audio":
        media["voice"] = True
    return media
