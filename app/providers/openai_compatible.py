"""Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, the fast host (wire/openai-compatible.md).

Also what that dialect's many cousins share with it: its error object and its plain messages.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import msgspec

from app.core.errors import Problem, UpstreamError
from app.providers.dialect import (
    ACCOUNT,
    BAD_IMAGE,
    BAD_REQUEST,
    BUSY,
    COMMON,
    FIRST_BYTE_S,
    OVERLONG,
    PARAMETERS,
    POLICY,
    CancelSemantics,
    ChatAsk,
    Outgoing,
    Verdict,
    bearer,
    json_headers,
    request_body,
    retry_after_s,
    status_verdict,
    upstream_error,
)

NullContent = Literal["keep", "empty", "omit"]
ImageUrls = Literal["pass", "inline"]
FlavourName = Literal["generic", "ollama", "vllm", "llamacpp"]


@dataclass(frozen=True, slots=True)
class Flavour:
    """What one server program takes (section 3), how long it may load a model, and whether a cancel stops its bill.

    Images go inline wherever the server stands in the operator's own network: it must not fetch what a client names.
    """

    supports: frozenset[str]
    image_urls: ImageUrls = "inline"
    renamed: Mapping[str, str] = field(default_factory=dict)
    first_byte_s: float = FIRST_BYTE_S
    cancel: CancelSemantics = "stops_billing"


EVERYWHERE: Final = COMMON | {"stream_options", "structured_outputs"}
SAMPLED: Final = EVERYWHERE | {"tool_choice", "logprobs", "top_logprobs", "logit_bias"}
FLAVOURS: Final[dict[FlavourName, Flavour]] = {
    "generic": Flavour(
        SAMPLED | {"n", "parallel_tool_calls", "prediction", "user", "prompt_cache_key"}, "pass", cancel="unknown"
    ),
    "ollama": Flavour(EVERYWHERE, first_byte_s=120.0),
    "vllm": Flavour(SAMPLED | {"n", "top_k", "min_p", "repetition_penalty"}),
    "llamacpp": Flavour(
        SAMPLED | {"parallel_tool_calls", "top_k", "min_p", "repetition_penalty"},
        renamed={"repetition_penalty": "repeat_penalty"},
        first_byte_s=120.0,
    ),
}


class OpenAICompatible:
    """One host of section 1; `name` is the catalog's provider: "fast" or "local". An empty key sends no credential."""

    def __init__(
        self,
        name: str,
        flavour: FlavourName = "generic",
        *,
        api_key: str = "",
        null_content: NullContent = "keep",
        image_urls: ImageUrls | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.flavour = flavour
        self.image_urls = image_urls or FLAVOURS[flavour].image_urls
        self.first_byte_s = FLAVOURS[flavour].first_byte_s
        self._api_key = api_key
        self._null_content = null_content
        self._now = now
        self.probe_path = "/models"
        self.headers = json_headers(bearer(api_key))

    def chat(self, ask: ChatAsk) -> Outgoing:
        traits = FLAVOURS[self.flavour]
        messages = [self._message(message) for message in ask.raw["messages"]]
        sent = frozenset(ask.options.get("supports", traits.supports))
        body, dropped = request_body(ask, messages, sent)
        for ours, theirs in traits.renamed.items():
            if ours in body:
                body[theirs] = body.pop(ours)
        return Outgoing("/chat/completions", self.headers, msgspec.json.encode(body), tuple(dropped))

    def _message(self, message: dict[str, Any]) -> dict[str, Any]:
        plain = plain_message(message, self._null_content)
        parts = plain.get("content")
        if not isinstance(parts, list):
            return plain
        check_media(parts, inline=self.image_urls == "inline")
        if self.flavour == "ollama":
            # It makes a message of each part; a question after its image is understood (section 3).
            parts = sorted(parts, key=lambda part: part["type"] == "text")
        return {**plain, "content": parts}

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes, model: str, ask: ChatAsk) -> UpstreamError:
        wait_s = retry_after_s(headers.get("retry-after"), self._now())
        return self._judged(openai_error(body), status, ask, wait_s)

    def fault(self, error: dict[str, Any], ask: ChatAsk) -> UpstreamError:
        fault = fault_of(error)
        return self._judged(fault, in_band_status(fault), ask, None)

    def cancel_semantics(self, upstream_provider: str | None, model: str) -> CancelSemantics:
        return FLAVOURS[self.flavour].cancel

    def _judged(self, fault: Fault, status: int, ask: ChatAsk, wait_s: float | None) -> UpstreamError:
        verdict = verdict_of(fault, status, ask)
        return upstream_error(verdict, fault.text, status=status, secret=self._api_key, wait_s=wait_s)


MEDIA: Final = ("image_url", "video_url")


def check_media(parts: list[dict[str, Any]], *, inline: bool) -> None:
    """Refuses media this server may not fetch: a file path always, a link unless the operator lets it pass."""
    for part in parts:
        media: dict[str, Any] = next((part[kind] for kind in MEDIA if isinstance(part.get(kind), dict)), {})
        address = str(media.get("url", "data:"))
        if not address.startswith("data:" if inline else ("data:", "https://")):
            forms = "data URLs" if inline else "https or data URLs"
            raise Problem("invalid_value", f"This model takes images and video as {forms} only.", "messages")


def plain_message(message: dict[str, Any], null_content: NullContent) -> dict[str, Any]:
    """A message for servers that know `system` only, with arguments as JSON text and empty content as flagged.

    An assistant message without content is never dropped (compat.md C13); under `omit` only tool calls stand alone.
    """
    if message["role"] == "developer":
        return {**message, "role": "system"}
    if message["role"] != "assistant":
        return message
    plain = dict(message)
    calls = plain.get("tool_calls")
    if calls:
        plain["tool_calls"] = [with_json_arguments(call) for call in calls]
    if plain.get("content") in (None, "") and null_content != "keep":
        plain.pop("content", None)
        if null_content == "empty" or not calls:
            plain["content"] = ""
    return plain


def with_json_arguments(call: dict[str, Any]) -> dict[str, Any]:
    """A replayed tool call whose `arguments` parse: an object becomes its JSON text, nothing becomes `{}`."""
    function = call.get("function", {})
    arguments = function.get("arguments") or {}
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return {**call, "function": {**function, "arguments": text}}


@dataclass(frozen=True, slots=True)
class Fault:
    """An upstream's error as found; what is absent is "". For judging and our log, never for the client."""

    words: str = ""
    type: str = ""
    code: str = ""
    param: str = ""
    error: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return f"{self.type} {self.code} {self.words}".strip()


def fault_of(error: Mapping[str, Any]) -> Fault:
    words, kind, code, param = (str(error.get(key) or "") for key in ("message", "type", "code", "param"))
    return Fault(words, kind, code, param, error)


def decoded(body: bytes) -> Any:
    """The JSON in a body; None when there is none."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def openai_error(body: bytes) -> Fault:
    """The parse rule of section 6: `error` as object or text, else the top level, else raw text for our log."""
    found = decoded(body)
    error = found.get("error", found) if isinstance(found, dict) else None
    if isinstance(error, dict):
        return fault_of(error)
    return Fault(error) if isinstance(error, str) else Fault(body[:200].decode("utf-8", "replace"))


def in_band_status(fault: Fault) -> int:
    """502, except for what the client caused (a 4xx code, a long prompt): that never counts against the server."""
    if re.fullmatch(r"4\d\d", fault.code):
        return int(fault.code)
    return 400 if CONTEXT_WORDS.search(fault.text) else 502


#: Fields a client may have got wrong.
REFUSABLE: Final = ("messages", "max_tokens", "max_completion_tokens", "reasoning_effort", *PARAMETERS)
CONTEXT_WORDS: Final = re.compile(
    r"context[ _](length|window|size|limit)|max(imum)? context|token limit|too many tokens|prompt is too long", re.I
)


def refused_field(fault: Fault, ask: ChatAsk) -> str | None:
    """The field an upstream complains of, if it is one of ours and the client sent it."""
    named = re.split(r"[.\[]", fault.param, maxsplit=1)[0]
    spoken = (name for name in REFUSABLE if "_" in name and re.search(rf"\b{name}\b", fault.words))
    return next((name for name in (named, *spoken) if name in REFUSABLE and name in ask.raw), None)


def client_verdict(fault: Fault, ask: ChatAsk) -> Verdict:
    """A refused request: too long, or a field, named when it is known."""
    if CONTEXT_WORDS.search(fault.text):
        return OVERLONG
    name = refused_field(fault, ask)
    if name is None:
        return BAD_REQUEST
    return replace(
        BAD_REQUEST, message=f"This model refused the value of `{name}`. Correct it and try again.", param=name
    )


LOADING: Final = replace(BUSY, breaker="rest", wait_s=5)
LACKING: Final = Verdict("unsupported_parameter", "This model lacks something the request asks for. Use another model.")
OWN_STATUS: Final = {403: ACCOUNT, 501: LACKING}
#: Section 7, where words decide within these statuses.
BY_WORDS: Final[tuple[tuple[range, re.Pattern[str], Verdict], ...]] = (
    (range(400, 600), re.compile(r"^unauthorized$|authentication_error", re.I), ACCOUNT),
    (range(429, 430), re.compile(r"insufficient_quota|exceeded your current quota|billing", re.I), ACCOUNT),
    (range(400, 401), re.compile(r"content_policy_violation|content_filter", re.I), POLICY),
    (range(400, 401), re.compile(r"invalid image input", re.I), BAD_IMAGE),
    (range(500, 501), re.compile(r"too large to process", re.I), OVERLONG),
    (range(503, 504), re.compile(r"unavailable_error|loading model", re.I), LOADING),
)


def verdict_of(fault: Fault, status: int, ask: ChatAsk) -> Verdict:
    for statuses, words, verdict in BY_WORDS:
        if status in statuses and words.search(fault.text):
            return verdict
    if status in (400, 422):
        return client_verdict(fault, ask)
    return status_verdict(status, OWN_STATUS)
