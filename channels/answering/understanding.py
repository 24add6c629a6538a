"""What a stored message says to a model, and whether it can be answered at all (channels.md section 11). Pure.

Whatever a user sent stays what a user said: notes of ours stand in square brackets before it, on lines of their own.
"""

from __future__ import annotations

import base64
from typing import Final, Literal

import msgspec

from app.core.bot_config import BotConfig
from app.providers.whatsapp.line import File
from app.storage.conversations import StoredMessage
from channels.answering.prompt import Part, Past
from channels.whatsapp.lenient import line
from channels.whatsapp.splitting import shorten

Answerable = Literal["text", "image", "voice", "unsupported", "ignore"]
LONGEST_QUOTE: Final = 200
LONGEST_NAME: Final = 120

#: What is stored and moves no bot to answer.
_SILENT: Final = frozenset({"sticker", "reaction", "welcome", "call", "system", "identity"})
_SPOKEN: Final = frozenset({"voice", "audio"})
#: Kinds that a text does not show by itself.
_NOTES: Final = {
    "image": "[image]",
    "video": "[video]",
    "sticker": "[sticker]",
    "voice": "[voice note]",
    "audio": "[audio]",
    "call": "[call]",
    "unsupported": "[message of a kind that cannot be shown]",
}
#: With a text, be it a transcript, there is nothing to add.
_SAID_IN_TEXT: Final = _SPOKEN | {"unsupported"}
#: Messages of ours that no user has seen.
_UNSEEN: Final = frozenset({"dropped", "failed"})


class _Media(msgspec.Struct, frozen=True):
    name: str = ""


class _Details(msgspec.Struct, frozen=True):
    """What counts here of a message's details."""

    media: _Media | None = None
    referral: str = ""
    standby: bool = False
    transcript: bool = False
    revoked: bool = False


def answerable(message: StoredMessage, bot_type: str, config: BotConfig, *, can_see: bool) -> Answerable:
    """How this message can be answered: from its text, its image, its recording, or not at all.

    `can_see`: the bot's model or its `vision_model` reads images. "ignore" wants no notice either; for "welcome" and
    "call", which are answered without a model, it is for the caller to look first.
    """
    details = _details(message)
    kind = message.message_type
    if details.standby or details.revoked or kind in _SILENT:
        return "ignore"
    if kind == "image" and can_see:
        return "image"
    if kind in _SPOKEN:
        if details.transcript:
            return "text" if message.content.strip() else "voice"
        return "voice" if bot_type == "whatsapp_voice" or config.stt_model else "unsupported"
    return "text" if message.content.strip() else "unsupported"


def user_parts(
    message: StoredMessage, *, picture: File | None = None, answered: StoredMessage | None = None
) -> list[Part]:
    """What the user said, as parts of a chat message: the text, then the image as data.

    `answered` is the message that this one was written in reply to, as far as it is known.
    """
    details = _details(message)
    notes = []
    if details.referral:
        notes.append(f'[came from the ad "{_quote(details.referral)}"]')
    if answered is not None and (told := describe(answered)):
        whose = "their own message" if answered.role == "user" else "our message"
        notes.append(f'[in reply to {whose} "{_quote(told)}"]')
    said = message.content.strip() if picture else describe(message)
    text = "\n".join([*notes, *([said] if said else [])])
    parts: list[Part] = [{"type": "text", "text": text}] if text else []
    if picture is not None:
        parts.append({"type": "image_url", "image_url": {"url": _data_url(picture)}})
    return parts


def describe(message: StoredMessage) -> str:
    """The message in words, "" for one that says nothing or was deleted: `[document: a.pdf]`, then its caption."""
    details = _details(message)
    if details.revoked or message.message_type == "reaction":
        return ""
    text = message.content.strip()
    return "\n".join(each for each in (_note(message.message_type, text, details), text) if each)


def past_of(message: StoredMessage) -> Past | None:
    """The message as history: what people of the business wrote counts as the bot's own; None for what nobody read."""
    text = describe(message)
    if not text or (message.role == "assistant" and message.status in _UNSEEN):
        return None
    return Past("assistant" if message.role == "assistant" else "user", text)


def _note(kind: str, text: str, details: _Details) -> str:
    if kind == "document":
        name = line(details.media.name, LONGEST_NAME) if details.media else ""
        return f"[document: {name}]" if name else "[document]"
    return "" if text and kind in _SAID_IN_TEXT else _NOTES.get(kind, "")


def _quote(text: str) -> str:
    """On one line, and without what would end the quote."""
    return shorten(line(text).replace('"', "'"), LONGEST_QUOTE)


def _data_url(file: File) -> str:
    media_type = file.media_type.partition(";")[0].strip().lower()
    return f"data:{media_type};base64,{base64.b64encode(file.data).decode()}"


def _details(message: StoredMessage) -> _Details:
    try:
        return msgspec.json.decode(message.details, type=_Details)
    except msgspec.DecodeError:  # of another version's shape
        return _Details()
