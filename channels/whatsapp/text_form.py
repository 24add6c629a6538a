"""Texts as they leave for a user: marked up, cut into parts, or said aloud (channels.md section 9)."""

from __future__ import annotations

from typing import Final, Literal

from channels.whatsapp.markup import to_whatsapp
from channels.whatsapp.speech_form import to_speech
from channels.whatsapp.splitting import shorten, split, unfinished

__all__ = ["PART_LIMITS", "reply_parts", "shorten", "split", "to_speech", "to_whatsapp"]

#: Code points of a part: the providers take 4096 and 1600.
PART_LIMITS: Final = {"meta": 4000, "twilio": 1560}
MOST_PARTS: Final = 5


def reply_parts(markdown: str, provider: Literal["meta", "twilio"]) -> list[str]:
    """A bot's reply as the messages that it takes, none for a blank one; what five cannot hold is left out."""
    limit = PART_LIMITS[provider]
    parts = split(to_whatsapp(markdown), limit)
    if len(parts) > MOST_PARTS:
        parts[MOST_PARTS - 1 :] = [unfinished(parts[MOST_PARTS - 1], limit)]
    return parts
