"""Bots as the platform API takes and shows them (spec.md section 16): bounds, and what of a configuration is secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from app.core.bot_config import KNOWN
from app.core.chat_fields import Body, Wire
from app.core.errors import Problem
from app.core.times import Cursor, PageSize

BotType = Literal["whatsapp", "whatsapp_voice", "inbound_call", "outbound_call", "ivr"]
BotName = Annotated[str, Meta(min_length=1, max_length=255, examples=["Asha"])]
SystemPrompt = Annotated[str, Meta(max_length=20_000)]
CONFIG_MAX: Final = 64 * 1024
#: What writes to people on WhatsApp.
WHATSAPP: Final = ("whatsapp", "whatsapp_voice")
REDACTED: Final = "[REDACTED]"
#: Names of values that nobody reads back, unless it is known what they are.
CREDENTIAL: Final = re.compile(r"token|secret|passw|credential|private|api_?key|auth", re.IGNORECASE)


class NewBot(Body, frozen=True):
    """The body of POST /api/v1/bots."""

    type: BotType
    name: BotName
    system_prompt: SystemPrompt = ""
    config: Annotated[dict[str, Any], Meta(description="such as phone_number_id, language")] = msgspec.field(
        default_factory=dict
    )
    is_active: bool = True


class BotChange(Body, frozen=True):
    """The body of PUT /api/v1/bots/{id}: what is left out stays as it is. A bot's type never changes."""

    name: BotName | None = None
    system_prompt: SystemPrompt | None = None
    config: Annotated[dict[str, Any], Meta(description=f"replaces all of it; {REDACTED} keeps a secret")] | None = None
    is_active: bool | None = None


class BotQuery(Wire, frozen=True):
    limit: PageSize = 50
    before: Cursor | None = None
    type: BotType | None = None


class Bot(msgspec.Struct, frozen=True):
    id: str
    tenant_id: str
    type: BotType
    name: str
    system_prompt: str
    config: dict[str, Any]
    is_active: bool
    conversation_count: int
    created_at: str
    updated_at: str


class BotPage(msgspec.Struct, frozen=True):
    data: list[Bot]
    next_cursor: str | None


def split_config(config: Mapping[str, Any], known: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """(what is shown, what is secret) of a configuration; `known` are the secrets that `[REDACTED]` stands for.

    Raises Problem 400 for one that is too large, whose secrets are not texts, or that has one further inside.
    """
    if len(msgspec.json.encode(config)) > CONFIG_MAX:
        raise Problem("invalid_value", f"config is larger than {CONFIG_MAX} bytes.", "config")
    shown: dict[str, Any] = {}
    secret: dict[str, str] = {}
    for name, value in config.items():
        if value is None or name in KNOWN or not CREDENTIAL.search(name):
            if any(map(CREDENTIAL.search, _inner_names(value))):
                message = f"config.{name[:80]} has a secret inside: put secrets into config itself, by their names."
                raise Problem("invalid_value", message, "config")
            shown[name] = value
        elif not isinstance(value, str):
            raise Problem(
                "invalid_type", f"config.{name[:80]} must be a string, since its name is a secret's.", "config"
            )
        elif value == REDACTED and name in known:
            secret[name] = known[name]
        else:
            secret[name] = value
    return shown, secret


def phone_of(config: Mapping[str, Any]) -> str:
    """The number that a configuration names: Meta's phone number id, or Twilio's number. "" for none."""
    value = config.get("phone_number_id")
    return value if isinstance(value, str) else ""


def _inner_names(value: Any) -> Iterator[str]:
    """The names of all texts inside of a value."""
    match value:
        case dict():
            for name, inner in value.items():
                if isinstance(inner, str):
                    yield name
                else:
                    yield from _inner_names(inner)
        case list():
            for inner in value:
                yield from _inner_names(inner)


def redacted(shown: Mapping[str, Any], secret_names: Mapping[str, str]) -> dict[str, Any]:
    """The configuration as it is read back."""
    return {**shown, **dict.fromkeys(secret_names, REDACTED)}
