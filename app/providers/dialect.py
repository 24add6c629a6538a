"""What every wire dialect shares: the contract, the fields of a request, the verdicts on a failure in our own words.

Pure: a dialect turns a question into bytes and an answer's failure into an `UpstreamError`. It opens no socket and
lets no word, name or host of an upstream reach a client (compat.md H6).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, Protocol

from app.core.errors import Breaker, Problem, Retry, UpstreamError

CancelSemantics = Literal["stops_billing", "bills_anyway", "unknown"]

FIRST_BYTE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class ChatAsk:
    """One chat call for one route. `raw` is the client's decoded body and is never changed.

    `effort` is clamped by the catalog; None leaves the field out. `options` are the route's own, from the catalog:
    `efforts` (level -> what to send instead) and `supports` (the fields this model takes, in place of the dialect's).
    """

    upstream_model: str
    raw: Mapping[str, Any]
    tenant_salt: str
    effort: str | None = None
    max_tokens: int | None = None
    #: From `:nitro` and `:floor`.
    sort: Literal["throughput", "price"] | None = None
    client_streams: bool = False
    other_routes: bool = False
    #: The second attempt after a capacity refusal: wait in the upstream's queue instead of being turned away.
    patient: bool = False
    #: The client narrowed the choice of providers with `provider`.
    client_limits: bool = False
    #: False for a slash id that is passed through without an entry of ours.
    catalogued: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What goes on the wire: `path` follows the host's base URL, `headers` lack only host and content-length.

    `dropped` names the fields that were left out, for `X-CM-Dropped-Params`.
    """

    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    dropped: tuple[str, ...]


class Dialect(Protocol):
    """One upstream's way of speaking. `first_byte_s` runs from sending to the first valid chunk."""

    name: str
    first_byte_s: float
    #: A free `GET` that our key is needed for.
    probe_path: str
    headers: tuple[tuple[bytes, bytes], ...]

    def chat(self, ask: ChatAsk) -> Outgoing:
        """Always a streamed request; raises `Problem` for what this upstream cannot do, before anything is sent."""

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes, model: str, ask: ChatAsk) -> UpstreamError:
        """Any answer but 2xx; header names are lower case, `model` is the upstream's id."""

    def fault(self, error: dict[str, Any], ask: ChatAsk) -> UpstreamError:
        """An error object inside a 200 body or a stream chunk."""

    def cancel_semantics(self, upstream_provider: str | None, model: str) -> CancelSemantics:
        """Whether closing the connection ends the upstream's bill."""


#: What a client may tune (spec.md 5.1, 5.2). `model`, `messages`, limits, effort and the stream are set by hand;
#: `models`, `route`, `bot_id` and `knowledge_*` are the gateway's own and go nowhere.
PARAMETERS: Final = (
    *("temperature", "top_p", "top_k", "top_a", "min_p", "frequency_penalty", "presence_penalty"),
    *("repetition_penalty", "seed", "stop", "n", "logit_bias", "logprobs", "top_logprobs", "prediction"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "structured_outputs"),
    *("user", "prompt_cache_key", "provider", "plugins", "transforms"),
)
#: These shape the answer: refused where they cannot be sent, unless they hold the value that changes nothing.
SHAPING: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("auto", "none"),
    "response_format": ({"type": "text"},),
}
#: Fields of chat completions that every upstream of ours takes.
COMMON: Final = frozenset(
    {"temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "stop"}
    | {"tools", "response_format", "reasoning_effort"}
)


def unsupported(name: str) -> Problem:
    message = f"This model does not support `{name}`. Remove it or use another model."
    return Problem("unsupported_parameter", message, param=name)


def request_body(
    ask: ChatAsk, messages: list[Any], sent: frozenset[str], by_hand: Iterable[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The body with every field of `sent` that the client set, and the names of the tuning fields left out.

    A shaping field outside `sent` raises 400 `unsupported_parameter`. Fields `by_hand` are neither sent nor
    reported: the dialect treats them itself. The effort is the ask's, never the client's.
    """
    body: dict[str, Any] = {"model": ask.upstream_model, "messages": messages, "stream": True}
    dropped: list[str] = []
    for name in PARAMETERS:
        value = ask.raw.get(name)
        if value is None or name in by_hand:
            continue
        if name in sent:
            put(body, name, value, ask.tenant_salt)
        elif name in SHAPING and value not in SHAPING[name]:
            raise unsupported(name)
        else:
            dropped.append(name)
    if "tool_choice" in dropped and ask.raw["tool_choice"] == "none":
        body.pop("tools", None)
    if ask.max_tokens is not None:
        body["max_tokens"] = ask.max_tokens
    if "stream_options" in sent:
        body["stream_options"] = {"include_usage": True}
    elif ask.raw.get("stream_options") is not None:
        dropped.append("stream_options")
    if "reasoning" not in by_hand:
        effort = effort_fields(ask) if "reasoning_effort" in sent else {}
        body |= effort
        dropped += dropped_reasoning(ask.raw, effort_sent=bool(effort))
    return body, dropped


def put(body: dict[str, Any], name: str, value: Any, salt: str) -> None:
    """One field: `structured_outputs` is `strict` on the wire, names of the client's own go out as hashes."""
    if name in ("user", "prompt_cache_key"):
        body[name] = tenant_hash(salt, name, str(value))
    elif name != "structured_outputs":
        body[name] = value
    elif value:
        match body.get("response_format"):
            case {"json_schema": {**schema}, **form}:
                body["response_format"] = {**form, "json_schema": {**schema, "strict": True}}


def effort_fields(ask: ChatAsk) -> dict[str, Any]:
    """The clamped effort in this model's spelling: a word, `false` for JSON null, or a table of other fields."""
    if ask.effort is None:
        return {}
    sent = ask.options.get("efforts", {}).get(ask.effort, ask.effort)
    if isinstance(sent, Mapping):
        return dict(sent)
    return {"reasoning_effort": None if sent is False else sent}


def dropped_reasoning(raw: Mapping[str, Any], *, effort_sent: bool) -> list[str]:
    """Parts of `reasoning` that only the frontier upstream knows, and an effort that this model does not take."""
    asked = raw.get("reasoning")
    keys = ["max_tokens", "exclude", "enabled"] + ([] if effort_sent else ["effort"])
    lost = [f"reasoning.{key}" for key in keys if isinstance(asked, Mapping) and asked.get(key) is not None]
    if raw.get("reasoning_effort") is not None and not effort_sent:
        lost.append("reasoning_effort")
    return lost


def json_headers(own: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    """Headers of a streamed JSON call, never compressed, and the dialect's own."""
    common = {"content-type": "application/json", "accept": "text/event-stream, application/json"}
    headers = {**common, "accept-encoding": "identity", **own}
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items())


def bearer(api_key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {api_key}"} if api_key else {}


def tenant_hash(salt: str, purpose: str, value: str) -> str:
    """A name the upstream may see in place of the client's own; no two tenants share one."""
    text = f"{purpose}\0{value}".encode("utf-8", "replace")
    return hmac.digest(salt.encode(), text, "sha256").hex()[:32]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The right-hand side of a row in a wire document's error table; `wait_s` stands in for a missing Retry-After."""

    code: str
    message: str
    retry: Retry = "no"
    breaker: Breaker = "ignore"
    param: str | None = None
    wait_s: float | None = None


AWAY: Final = "This model is unavailable for now. Try again later or use another model."
TIRED: Final = "This model failed to answer. Nothing was charged; try again or use another model."
OVERLONG: Final = Verdict(
    "context_length_exceeded", "The request does not fit this model's context window. Shorten it or lower `max_tokens`."
)
POLICY: Final = Verdict(
    "content_policy_violation", "A content filter refused this request. Change its content and send it again."
)
BAD_REQUEST: Final = Verdict(
    "invalid_request_error", "This model refused a field of the request. Compare the request with the documentation."
)
BAD_IMAGE: Final = Verdict(
    "invalid_request_error", "An image could not be used. Send a smaller JPEG, PNG or WebP image.", param="messages"
)
TOO_LARGE: Final = Verdict("request_too_large", "The request is too large for this model. Send less at a time.")
ACCOUNT: Final = Verdict("provider_error", AWAY, "other", "open_provider")
MODEL: Final = Verdict("provider_error", AWAY, "other", "open_model")
BUSY: Final = Verdict("provider_error", AWAY, "once", "count")
SLOW: Final = Verdict("provider_error", "This model did not answer in time. Try again.", "once", "count")
FAILED: Final = Verdict("upstream_error", TIRED, "once", "count")
OURS: Final = Verdict("upstream_error", TIRED)
CROWDED: Final = "This model has too many requests right now. Wait as long as Retry-After says, then try again."
THROTTLED: Final = Verdict("rate_limit_exceeded", CROWDED, "other", "rest", wait_s=5)

#: Statuses that mean the same everywhere; each dialect adds its own on top.
BY_STATUS: Final[dict[int, Verdict]] = {
    400: BAD_REQUEST,
    401: ACCOUNT,
    402: ACCOUNT,
    404: MODEL,
    408: SLOW,
    413: TOO_LARGE,
    422: BAD_REQUEST,
    429: THROTTLED,
    504: SLOW,
}


def status_verdict(status: int, own: Mapping[int, Verdict]) -> Verdict:
    """By status alone: the dialect's row, the common one, else our mistake (4xx) or theirs."""
    return own.get(status) or BY_STATUS.get(status) or (OURS if 400 <= status < 500 else FAILED)


NUMBER: Final = re.compile(r"\d{1,12}(\.\d+)?", re.ASCII)
LONGEST_WAIT_S: Final = 86_400.0
KEY_SHAPES: Final = re.compile(
    r"bearer\s+\S+|\bkey(?: provided)?\s*[:=]\s*\S+|\b(?:sk|pk|rk|cm|xai|gsk|hf)[-_][\w.*-]{4,}|[A-Za-z0-9+/]{32,}=*",
    re.IGNORECASE,
)


def upstream_error(
    verdict: Verdict, words: str, *, status: int | None, secret: str, wait_s: float | None = None
) -> UpstreamError:
    """The verdict as the error to raise: our words for the client, 200 bytes of the upstream's, masked, for our log."""
    waits = verdict.code in ("rate_limit_exceeded", "provider_error")
    return UpstreamError(
        verdict.code,
        verdict.message,
        verdict.retry,
        verdict.breaker,
        verdict.param,
        retry_after_s=(verdict.wait_s if wait_s is None else wait_s) if waits else None,
        status=status,
        detail=masked(words, secret),
    )


def masked(text: str, secret: str) -> str:
    """At most 200 bytes on one line, without our key or anything shaped like one."""
    line = "".join(filter(str.isprintable, " ".join(text[:4000].split())))
    line = KEY_SHAPES.sub("***", line.replace(secret, "***") if secret else line)
    return line.encode("utf-8", "replace")[:200].decode("utf-8", "ignore")


def retry_after_s(value: object, now: float) -> float | None:
    """Seconds to wait by a Retry-After: a number, its text or an HTTP date; 0 to a day, None if unreadable."""
    text = "" if isinstance(value, bool) else str(value).strip()
    if NUMBER.fullmatch(text):
        return bounded_wait_s(float(text))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return bounded_wait_s((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)


def bounded_wait_s(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT_S)
