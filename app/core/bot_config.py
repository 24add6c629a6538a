"""What a WhatsApp bot's `config` may say, with defaults: the words it uses, its patience, its models, its tools.

`config` is the tenant's own object: names that are not known here are kept and ignored, known ones are checked when the
bot is written (`check_config`), and read tolerantly when a turn begins (`read_config`): a bot must not fall silent
because an older version took what this one refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from app.core.chat_fields import Wire
from app.core.decode import convert
from app.core.errors import Problem
from app.core.public_hosts import LONGEST_URL, read_target

Words = Annotated[str, Meta(max_length=4000)]
ReplyMode = Literal["mirror", "voice", "text"]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
MOST_TOOLS: Final = 32
LARGEST_SCHEMA: Final = 8 * 1024


class HttpTool(Wire, frozen=True):
    """A function that the model may call: the arguments are posted to `url` as JSON, signed like a webhook."""

    name: Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")]
    url: Annotated[str, Meta(min_length=1, max_length=LONGEST_URL)]
    description: Annotated[str, Meta(max_length=1024)] = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})
    timeout_seconds: Annotated[float, Meta(ge=1, le=30)] = 10.0


class TemplateChoice(Wire, frozen=True):
    """The template that is sent when the 24-hour window is shut. At Twilio `name` is the content SID."""

    name: Name
    language: Name = "en"
    components: list[dict[str, Any]] = msgspec.field(default_factory=list)
    variables: dict[str, str] = msgspec.field(default_factory=dict)


class BotConfig(Wire, frozen=True):
    """Times in seconds. A text that is "" is not sent."""

    # The model
    model: str = ""
    fallback_models: Annotated[list[Name], Meta(max_length=3)] = msgspec.field(default_factory=list)
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=8192)] = 1024
    reasoning_effort: str | None = None
    language: str = ""
    vision_model: str = ""
    stt_model: str = ""
    tts_model: str = ""
    voice: str = ""
    reply_mode: ReplyMode = "mirror"
    history_messages: Annotated[int, Meta(ge=0, le=200)] = 30
    history_tokens: Annotated[int, Meta(ge=0, le=100_000)] = 8000
    # Its words
    greeting: Words = ""
    fallback_message: Words = "Sorry, I could not answer that just now. Please try again in a moment."
    unsupported_message: Words = "Sorry, I cannot read this kind of message. Please write it as text."
    unheard_message: Words = "Sorry, I could not hear that. Please say it again, or write it."
    unavailable_message: Words = "Thank you for your message. We will get back to you soon."
    handoff_message: Words = "I am passing you on to a colleague. Somebody will answer you here."
    late_message: Words = "Sorry for the late answer."
    calls_message: Words = "We do not take calls here. Please write to us."
    # Its patience
    debounce_seconds: Annotated[float, Meta(ge=0, le=10)] = 1.2
    debounce_most_seconds: Annotated[float, Meta(ge=0, le=60)] = 8.0
    debounce_media_seconds: Annotated[float, Meta(ge=0, le=10)] = 1.5
    idle_hours: Annotated[int, Meta(ge=1, le=168)] = 24
    late_minutes: Annotated[int, Meta(ge=1, le=1440)] = 15
    too_late_minutes: Annotated[int, Meta(ge=1, le=10_080)] = 360
    # People
    handoff_keywords: Annotated[list[Name], Meta(max_length=50)] = msgspec.field(
        default_factory=lambda: ["agent", "human"]
    )
    handoff_tool: bool = True
    resume_minutes: Annotated[int, Meta(ge=0, le=10_080)] = 0
    # What it may do
    tools: Annotated[list[HttpTool], Meta(max_length=MOST_TOOLS)] = msgspec.field(default_factory=list)
    web_search: bool = False
    reply_buttons: bool = False
    fallback_template: TemplateChoice | None = None
    on_unknown: Literal["fail", "resend"] = "fail"


#: Every name that is checked when a bot is written.
KNOWN: Final = frozenset(BotConfig.__struct_fields__)


def check_config(config: Mapping[str, Any], *, private: bool = False) -> None:
    """Raises Problem 400 that names the field. With `private` tools may be anywhere: for development."""
    try:
        read: BotConfig = convert({name: value for name, value in config.items() if name in KNOWN}, BotConfig)
    except Problem as problem:
        problem.param = f"config.{problem.param}" if problem.param else "config"
        problem.message = f"config: {problem.message}"
        raise
    names = [tool.name for tool in read.tools]
    if len(set(names)) < len(names):
        raise Problem("invalid_value", "config.tools has two tools of one name.", "config.tools")
    for tool in read.tools:
        read_target(tool.url, private=private)
        if len(msgspec.json.encode(tool.parameters)) > LARGEST_SCHEMA:
            message = f"The parameters of the tool {tool.name} are larger than {LARGEST_SCHEMA} bytes."
            raise Problem("invalid_value", message, "config.tools")


def read_config(config: Mapping[str, Any]) -> BotConfig:
    """The configuration with defaults; what this version does not take is left at its default."""
    known = {name: value for name, value in config.items() if name in KNOWN}
    try:
        return msgspec.convert(known, BotConfig)
    except msgspec.ValidationError:
        good = {}
        for name, value in known.items():
            try:
                msgspec.convert({name: value}, BotConfig)
            except msgspec.ValidationError:
                continue
            good[name] = value
        return msgspec.convert(good, BotConfig)
