"""A chat request: parsed, checked and with the gateway's own readings of it (spec.md section 5)."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from app.core import chat_rules
from app.core.chat_fields import KNOWN_FIELDS, ChatFields, ImagePart, Wire
from app.core.decode import convert, decode_object
from app.core.errors import Problem

Number = TypeVar("Number", int, float)

EFFORTS: Final = ("none", "minimal", "low", "medium", "high")
COMPRESSION: Final = "context-compression"

#: With any of these `models` is ignored: another model could answer in another shape (section 5.2).
NO_FALLBACK_WITH: Final = ("tools", "tool_choice", "response_format", "structured_outputs")

#: How much of the ignored names the receipt carries; they are the client's own words.
IGNORED_MAX: Final = 50
IGNORED_NAME_MAX: Final = 64


class ChatRequest(Wire, frozen=True):
    """What the client asked for. `raw` and all that comes from it is shared with the body: copy, never change.

    `fields` holds each parameter as sent; the names here are what they come to once all of them are read together.
    """

    raw: dict[str, Any]
    fields: ChatFields
    #: Fields without effect, for the receipt: unknown ones as sent, at most `IGNORED_MAX`, then known ones.
    ignored: tuple[str, ...]
    stream: bool
    include_usage: bool
    n: int
    #: The smaller of `max_tokens` and `max_completion_tokens`; None when the client set no limit.
    max_tokens: int | None
    has_images: bool
    #: Other models to try in this order.
    fallbacks: tuple[str, ...]
    #: As sent, or with `strict` set by `structured_outputs`.
    response_format: dict[str, Any] | None
    #: Objects only; `transforms` has become the context-compression plugin.
    plugins: tuple[dict[str, Any], ...]
    #: As sent, with `max_price` in the upstream's spelling.
    provider: dict[str, Any] | None
    #: Bytes of the body it was parsed from, when that is known.
    body_bytes: int | None = None

    @property
    def model(self) -> str | None:
        return self.fields.model

    @property
    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.raw["messages"]
        return messages

    @property
    def tools(self) -> list[dict[str, Any]] | None:
        return self.raw.get("tools") or None

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.fields.logprobs)

    @property
    def effort(self) -> str | None:
        """`reasoning.effort`, else `reasoning_effort` (section 5.2)."""
        reasoning = self.fields.reasoning
        return reasoning.effort if reasoning and reasoning.effort else self.fields.reasoning_effort

    @property
    def searches_web(self) -> bool:
        """Whether the price of one search is added."""
        return any(plugin["id"] == "web" and plugin.get("enabled") is not False for plugin in self.plugins)


def parse_chat(body: bytes) -> ChatRequest:
    """The chat request in `body`; raises `Problem` 400 that names the field and says what to send."""
    return read_chat(decode_object(body), len(body))


def read_chat(raw: dict[str, Any], body_bytes: int | None = None) -> ChatRequest:
    """As `parse_chat`, from an object that another surface has translated."""
    fields = convert(raw, ChatFields)
    chat_rules.check(fields, raw)
    fallbacks, unused = _fallbacks(fields)
    options = fields.stream_options
    return ChatRequest(
        raw=raw,
        fields=fields,
        ignored=_unknown(raw) + unused,
        stream=bool(fields.stream),
        include_usage=bool(options and options.include_usage),
        n=fields.n or 1,
        max_tokens=_smaller(fields.max_tokens, fields.max_completion_tokens),
        has_images=_has_images(fields),
        fallbacks=fallbacks,
        response_format=_response_format(fields, raw),
        plugins=_plugins(fields, raw),
        provider=_provider(fields, raw),
        body_bytes=body_bytes,
    )


def check_effort(request: ChatRequest, *, slash: bool) -> None:
    """Raises `Problem` when a bare id gets an effort outside the five; slash ids judge it themselves (section 5.5)."""
    effort = request.effort
    if slash or effort is None or effort in EFFORTS:
        return
    reasoning = request.fields.reasoning
    param = "reasoning.effort" if reasoning and reasoning.effort else "reasoning_effort"
    raise Problem("invalid_value", f"{param} must be one of {', '.join(EFFORTS)} for this model.", param)


def prompt_text_bytes(request: ChatRequest) -> int:
    """About how many bytes of text `tokens.count_messages` would read; images and other media are not text."""
    size = 0
    for message in request.messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else ({"text": content},)
        size += sum(_utf8_size(part.get("text")) for part in parts)
        size += sum(_utf8_size(call["function"]["arguments"]) for call in message.get("tool_calls") or ())
    return size + len(msgspec.json.encode(request.tools)) if request.tools else size


def _utf8_size(text: Any) -> int:
    if not isinstance(text, str):
        return 0
    return len(text) if text.isascii() else 3 * len(text)


def _unknown(raw: dict[str, Any]) -> tuple[str, ...]:
    if raw.keys() <= KNOWN_FIELDS:
        return ()
    return tuple(name[:IGNORED_NAME_MAX] for name in raw if name not in KNOWN_FIELDS)[:IGNORED_MAX]


def _smaller(first: Number | None, second: Number | None) -> Number | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)


def _has_images(fields: ChatFields) -> bool:
    return any(
        isinstance(part, ImagePart)
        for message in fields.messages
        if isinstance(message.content, list)
        for part in message.content
    )


def _fallbacks(fields: ChatFields) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The models to try after the first, and `models` as an ignored field when it may not be used."""
    if not fields.models:
        return (), ()
    if any(getattr(fields, name) for name in NO_FALLBACK_WITH):
        return (), ("models",)
    return tuple(name for name in dict.fromkeys(fields.models) if name != fields.model), ()


def _response_format(fields: ChatFields, raw: dict[str, Any]) -> dict[str, Any] | None:
    form: dict[str, Any] | None = raw.get("response_format")
    if form is None or not fields.structured_outputs:
        return form
    return {**form, "json_schema": {**form["json_schema"], "strict": True}}


def _plugins(fields: ChatFields, raw: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    if fields.plugins is None and fields.transforms is None:
        return ()
    plugins = [{"id": plugin} if isinstance(plugin, str) else plugin for plugin in raw.get("plugins") or ()]
    if fields.transforms is not None and all(plugin["id"] != COMPRESSION for plugin in plugins):
        plugins.append({"id": COMPRESSION} if fields.transforms else {"id": COMPRESSION, "enabled": False})
    return tuple(plugins)


def _provider(fields: ChatFields, raw: dict[str, Any]) -> dict[str, Any] | None:
    provider: dict[str, Any] | None = raw.get("provider")
    price = fields.provider.max_price if fields.provider else None
    if provider is None or price is None:
        return provider
    renamed = {key: value for key, value in provider["max_price"].items() if key not in ("input", "output")}
    renamed["prompt"] = _smaller(price.prompt, price.input)
    renamed["completion"] = _smaller(price.completion, price.output)
    return {**provider, "max_price": {key: value for key, value in renamed.items() if value is not None}}
