"""Cloudflare Workers AI's OpenAI endpoint for chat, and its own error codes (wire/cloudflare.md sections 3, 7, 8)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from app.core.errors import Problem, UpstreamError
from app.providers.dialect import (
    ACCOUNT,
    COMMON,
    FAILED,
    FIRST_BYTE_S,
    MODEL,
    OURS,
    OVERLONG,
    POLICY,
    SLOW,
    THROTTLED,
    TOO_LARGE,
    CancelSemantics,
    ChatAsk,
    Outgoing,
    Verdict,
    bearer,
    json_headers,
    request_body,
    retry_after_s,
    status_verdict,
    tenant_hash,
    upstream_error,
)
from app.providers.openai_compatible import (
    Fault,
    NullContent,
    client_verdict,
    decoded,
    fault_of,
    in_band_status,
    openai_error,
    plain_message,
)

BASE_URL: Final = "https://api.cloudflare.com/client/v4/accounts/{account_id}/ai"
FIELDS: Final = COMMON | {
    *("logit_bias", "logprobs", "top_logprobs", "n", "parallel_tool_calls", "prediction", "tool_choice"),
    *("stream_options", "structured_outputs"),
}
MOST_STOPS: Final = 4
AFFINITY_CHARS: Final = 1024
DAY_S: Final = 86_400


class Cloudflare:
    """Speaks for one account's API token. A model's own field list and effort words come with the route's options."""

    name = "cloudflare"
    first_byte_s = FIRST_BYTE_S
    probe_path = "/models/search?per_page=1"

    def __init__(
        self, api_key: str, *, null_content: NullContent = "keep", now: Callable[[], float] = time.time
    ) -> None:
        self._api_key = api_key
        self._null_content = null_content
        self._now = now
        self.headers = json_headers(bearer(api_key))

    def chat(self, ask: ChatAsk) -> Outgoing:
        """Turned away rather than queued while someone waits for the first token or another route can serve."""
        stop = ask.raw.get("stop")
        if isinstance(stop, list) and len(stop) > MOST_STOPS:
            raise Problem("invalid_request_error", f"This model takes at most {MOST_STOPS} stop sequences.", "stop")
        messages = [plain_message(message, self._null_content) for message in ask.raw["messages"]]
        body, dropped = request_body(ask, messages, frozenset(ask.options.get("supports", FIELDS)))
        if (ask.client_streams or ask.other_routes) and not ask.patient:
            body["options"] = {"rejectIfBusy": True}
        affinity = (b"x-session-affinity", session_of(ask).encode())
        path = "/v1/chat/completions"
        return Outgoing(path, (*self.headers, affinity), msgspec.json.encode(body), tuple(dropped))

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes, model: str, ask: ChatAsk) -> UpstreamError:
        found = decoded(body)
        trouble = trouble_in(found) or Trouble(None, openai_error(body))
        return self._judged(trouble, status, ask, retry_after_s(headers.get("retry-after"), self._now()))

    def fault(self, error: dict[str, Any], ask: ChatAsk) -> UpstreamError:
        """`error` is a whole `success: false` envelope, one entry of its `errors`, or an OpenAI error object."""
        trouble = trouble_in(error) or trouble_in({"errors": [error]}) or Trouble(None, fault_of(error))
        return self._judged(trouble, in_band_status(trouble.fault), ask, None)

    def cancel_semantics(self, upstream_provider: str | None, model: str) -> CancelSemantics:
        return "unknown"

    def _judged(self, trouble: Trouble, status: int, ask: ChatAsk, wait_s: float | None) -> UpstreamError:
        verdict = verdict_of(trouble, status, ask)
        if verdict is SPENT:
            wait_s = DAY_S - self._now() % DAY_S
        words = f"{trouble.code or ''} {trouble.fault.text}"
        return upstream_error(verdict, words, status=status, secret=self._api_key, wait_s=wait_s)


def session_of(ask: ChatAsk) -> str:
    """Calls that share a prefix meet the same cache: the client's cache key, else the prompt's beginning."""
    key = ask.raw.get("prompt_cache_key")
    return tenant_hash(ask.tenant_salt, "session", str(key) if key else opening(ask.raw["messages"]))


def opening(messages: list[dict[str, Any]]) -> str:
    """The first characters of the prompt, without images."""
    text = ""
    for piece in texts(messages):
        text += piece[: AFFINITY_CHARS - len(text)]
        if len(text) == AFFINITY_CHARS:
            break
    return text


def texts(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        match message.get("content"):
            case str(text):
                yield text
            case [*parts]:
                yield from (part["text"] for part in parts if part.get("type") == "text")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Cloudflare's own code, if it gave one, and the error behind it: its text, or JSON found inside its text."""

    code: int | None
    fault: Fault


def trouble_in(envelope: Any) -> Trouble | None:
    """`errors[0]` of an envelope, cleared of its prefixes and its trailing uuid; None for any other shape."""
    match envelope:
        case {"errors": [{"code": int(code), "message": str(words)}, *_]} if code >= 1000:
            pass
        case _:
            return None
    words = WRAPPING.sub("", words)
    inner = decoded(words.encode())
    return Trouble(code, fault_of(inner) if isinstance(inner, dict) else Fault(words))


WRAPPING: Final = re.compile(
    r"^(?:\s*AiError:)+\s*|\s*\([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\)\s*$", re.IGNORECASE
)
#: The free allocation of the day is used up: it comes back at midnight UTC.
SPENT: Final = replace(ACCOUNT, wait_s=DAY_S)
CROWDED_OUT: Final = replace(THROTTLED, retry="once", wait_s=2)
#: The model could not keep to the client's schema: worth one more try, no fault of the route.
UNFORMED: Final = replace(FAILED, breaker="ignore")
BY_CODE: Final[dict[int, Verdict]] = {
    **dict.fromkeys((10000, 3023), ACCOUNT),
    **dict.fromkeys((5016, 5018, 3041, 5007, 3042), MODEL),
    **dict.fromkeys((5004, 3003, 3039, 5019, 5005), OURS),
    **dict.fromkeys((3007, 3008, 3046), SLOW),
    **dict.fromkeys((3036, 4006), SPENT),
    3006: TOO_LARGE,
    3040: CROWDED_OUT,
    5021: OVERLONG,
}
OWN_STATUS: Final[dict[int, Verdict]] = {403: ACCOUNT, 504: FAILED}
POLICY_WORDS: Final = re.compile(r"flagged|NSFW")


def verdict_of(trouble: Trouble, status: int, ask: ChatAsk) -> Verdict:
    """By code first: the HTTP status alone is not enough (section 7)."""
    fault = trouble.fault
    if "JSON Mode couldn't be met" in fault.words:
        return UNFORMED
    if trouble.code in BY_CODE:
        return BY_CODE[trouble.code]
    if trouble.code in (3030, 8007) and POLICY_WORDS.search(fault.words):
        return POLICY
    if trouble.code == 8007 and re.fullmatch(r"[45]\d\d", fault.code):
        status = int(fault.code)
    if trouble.code == 3030 or status in (400, 422):
        return client_verdict(fault, ask)
    return status_verdict(status, OWN_STATUS)
