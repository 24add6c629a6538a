"""Every operation of the gateway, in the order in which readers get them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from app.api.openapi import audio, inference, messages, reading
from app.api.openapi.described import Described, Json
from app.api.openapi.document import build_document
from app.api.openapi.platform import describe
from app.api.operation import Operation

#: The surfaces of `/v1` first, then the areas of the platform API; one that is new here stands at the end.
TAGS: Final = {
    "chat": "Chat completions, as OpenAI's SDKs ask for them.",
    "responses": "OpenAI's Responses API: create, read back, resume, delete.",
    "messages": "Anthropic's Messages API on every chat model.",
    "audio": "Speech to text and text to speech.",
    "images": "Images from text, and those that were made before.",
    "embeddings": "Vectors of texts.",
    "search": "The web through several search providers in one form.",
    "models": "What can be called and what it costs.",
    "credits": "What is left and where it went.",
    "auth": "Registration, login, and the member's own account and sessions.",
    "team": "Members, their roles, and invitations.",
    "keys": "API keys: made, limited, rotated, revoked.",
    "usage": "The log of calls, and what they add up to.",
    "bots": "Bots of the organisation's channels.",
    "conversations": "What was said to bots, and who answers.",
    "whatsapp": "What is sent to users on WhatsApp, and how far it has come.",
    "numbers": "WhatsApp numbers, at Meta or Twilio: connected, checked, disconnected.",
    "settings": "The first number of each provider, in the form of older settings.",
    "dead-letters": "What came in on WhatsApp numbers and could not be used.",
    "webhooks": "Where events are sent, and what became of each delivery.",
    "status": "How the gateway and its models do.",
    "health": "What machines ask.",
}
WRITTEN: Final = (*inference.OPERATIONS, *audio.OPERATIONS, *messages.OPERATIONS, *reading.OPERATIONS)


def whole_document(platform: Iterable[Operation]) -> Json:
    """The document of this gateway. Raises as `build_document`."""
    areas = _named(describe(operation) for operation in platform)
    tags = TAGS | {each.tag: "" for each in areas if each.tag not in TAGS}
    order = list(tags)
    operations = sorted((*WRITTEN, *areas), key=lambda each: order.index(each.tag))
    return build_document(operations, tags.items())


def _named(areas: Iterable[Described]) -> list[Described]:
    """One handler may serve several paths or methods: the second is `name_2`."""
    used: Counter[str] = Counter()
    named = []
    for each in areas:
        used[each.name] += 1
        count = used[each.name]
        named.append(each if count == 1 else replace(each, name=f"{each.name}_{count}"))
    return named
