"""OpenRouter's chat completions: the frontier fields in its spelling, and its typed errors (wire/openrouter.md)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from app.core.errors import Problem, UpstreamError
from app.providers.dialect import (
    ACCOUNT,
    AWAY,
    BAD_IMAGE,
    BAD_REQUEST,
    BUSY,
    COMMON,
    FAILED,
    FIRST_BYTE_S,
    MODEL,
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
    bounded_wait_s,
    effort_fields,
    json_headers,
    request_body,
    retry_after_s,
    status_verdict,
    upstream_error,
)
from app.providers.openai_compatible import Fault, client_verdict, fault_of, openai_error

BASE_URL: Final = "https://openrouter.ai/api/v1"
FIELDS: Final = COMMON | {
    *("top_k", "top_a", "min_p", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs", "n", "prediction"),
    *("tool_choice", "parallel_tool_calls", "structured_outputs", "user", "prompt_cache_key", "stream_options"),
}
BY_HAND: Final = frozenset({"provider", "plugins", "transforms", "reasoning"})
PROVIDER_KEYS: Final = frozenset(
    {
        *("sort", "order", "only", "ignore", "allow_fallbacks", "require_parameters", "data_collection", "zdr"),
        *("enforce_distillable_text", "quantizations", "preferred_min_throughput", "preferred_max_latency"),
    }
)
PRICE_KEYS: Final = {"input": "prompt", "output": "completion"}
PLUGINS: Final = frozenset({"web", "file-parser", "response-healing", "context-compression"})
COMPRESSION: Final = "context-compression"
#: Of an effort and a token budget for reasoning these take the budget, all others the effort.
BUDGETED: Final = ("anthropic/", "google/", "qwen/")


class OpenRouter:
    """Speaks for one key. `app_url` and `app_title` name the operator's site to OpenRouter, if given."""

    name = "openrouter"
    first_byte_s = FIRST_BYTE_S
    probe_path = "/key"

    def __init__(
        self, api_key: str, *, app_url: str = "", app_title: str = "", now: Callable[[], float] = time.time
    ) -> None:
        self._api_key = api_key
        self._now = now
        site = {"http-referer": app_url, "x-openrouter-title": app_title}
        self.headers = json_headers(bearer(api_key) | {name: value for name, value in site.items() if value})

    def chat(self, ask: ChatAsk) -> Outgoing:
        body, dropped = request_body(ask, ask.raw["messages"], FIELDS, BY_HAND)
        body |= reasoning_fields(ask)
        if provider := provider_choice(ask):
            body["provider"] = provider
        if plugins := plugin_list(ask.raw):
            body["plugins"] = plugins
        return Outgoing("/chat/completions", self.headers, msgspec.json.encode(body), tuple(dropped))

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes, model: str, ask: ChatAsk) -> UpstreamError:
        return self._judged(openai_error(body), status, headers, ask)

    def fault(self, error: dict[str, Any], ask: ChatAsk) -> UpstreamError:
        """Its `code` is the HTTP status it would have been (section 6)."""
        fault = fault_of(error)
        status = int(fault.code) if fault.code.isdecimal() and 400 <= int(fault.code) < 600 else 500
        return self._judged(fault, status, {}, ask)

    def cancel_semantics(self, upstream_provider: str | None, model: str) -> CancelSemantics:
        """By the `provider` an answer names; a model's id does not tell who serves it."""
        first_word = (upstream_provider or "").casefold().partition(" ")[0]
        return CANCEL.get(first_word, "unknown")

    def _judged(self, fault: Fault, status: int, headers: Mapping[str, str], ask: ChatAsk) -> UpstreamError:
        now = self._now()
        if isinstance(said := part(fault, "metadata").get("raw"), str):
            fault = replace(fault, words=f"{fault.words}: {said}")
        verdict = verdict_of(fault, status, ask)
        wait_s = retry_after_s(headers.get("retry-after", part(fault, "availability").get("retry_after")), now)
        if verdict is THROTTLED:
            limits = {**headers, **lower(part(fault, "metadata").get("headers"))}
            if is_free(ask.upstream_model) and any(name.startswith("x-ratelimit-") for name in limits):
                until_reset_s = reset_s(limits.get("x-ratelimit-reset"), now)
                verdict, wait_s = FREE_CAP, wait_s if until_reset_s is None else until_reset_s
            elif wait_s is not None and wait_s < WORTH_WAITING_S:
                verdict = replace(verdict, retry="once")
        return upstream_error(verdict, fault.text, status=status, secret=self._api_key, wait_s=wait_s)


def provider_choice(ask: ChatAsk) -> dict[str, Any]:
    """The client's `provider` in the upstream's key names; a `:nitro` or `:floor` yields to a `sort` of its own."""
    asked = expect(ask.raw, "provider", dict) or {}
    choice = {key: value for key, value in asked.items() if key in PROVIDER_KEYS and value is not None}
    if prices := expect(asked, "max_price", dict, "provider.max_price"):
        choice["max_price"] = {PRICE_KEYS.get(key, key): value for key, value in prices.items()}
    if ask.sort is not None:
        choice.setdefault("sort", ask.sort)
    return choice


def plugin_list(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Plugins as objects; `transforms` is the compression plugin, on for `["middle-out"]`, off for `[]`."""
    plugins = [
        {"id": plugin} if isinstance(plugin, str) else dict(plugin) for plugin in expect(raw, "plugins", list) or []
    ]
    if any(plugin.get("id") not in PLUGINS for plugin in plugins):
        raise Problem("invalid_request_error", f"`plugins` may hold {', '.join(sorted(PLUGINS))}.", "plugins")
    transforms = expect(raw, "transforms", list)
    if transforms not in (None, [], ["middle-out"]):
        raise Problem("invalid_request_error", '`transforms` is ["middle-out"] or [].', "transforms")
    if transforms is not None and all(plugin["id"] != COMPRESSION for plugin in plugins):
        plugins.append({"id": COMPRESSION} if transforms else {"id": COMPRESSION, "enabled": False})
    return plugins


def reasoning_fields(ask: ChatAsk) -> dict[str, Any]:
    """`reasoning` if the client sent it, with effort or budget but not both; else the effort alone."""
    asked = expect(ask.raw, "reasoning", dict)
    if not asked:
        return effort_fields(ask)
    reasoning = {key: asked[key] for key in ("max_tokens", "exclude", "enabled") if asked.get(key) is not None}
    has_effort = ask.effort is not None and asked.get("effort") is not None
    if has_effort and not ("max_tokens" in reasoning and ask.upstream_model.startswith(BUDGETED)):
        reasoning.pop("max_tokens", None)
        reasoning["effort"] = ask.effort
    return {"reasoning": reasoning} if reasoning else {}


def expect(fields: Mapping[str, Any], name: str, kind: type, param: str | None = None) -> Any:
    """The field's value or None; another type than `kind` is the client's mistake."""
    value = fields.get(name)
    if value is not None and not isinstance(value, kind):
        raise Problem("invalid_type", f"`{param or name}` has the wrong type.", param or name)
    return value


WORTH_WAITING_S: Final = 2.0
MILLISECONDS: Final = re.compile(r"[0-9]{13,15}")
#: First word of a provider's name -> what a closed connection does to the bill (section 4).
CANCEL: Final[dict[str, CancelSemantics]] = {
    **dict.fromkeys(("openai", "azure", "anthropic", "fireworks", "deepinfra", "together"), "stops_billing"),
    **dict.fromkeys(("cohere", "xai", "cloudflare", "deepseek"), "stops_billing"),
    **dict.fromkeys(("amazon", "bedrock", "groq", "google", "mistral", "perplexity", "alibaba"), "bills_anyway"),
}
NO_MODEL: Final = Verdict("model_not_found", "No model has this id. GET /v1/models lists those that can be used.")
LIMITS: Final = Verdict(
    "invalid_request_error", "Nothing satisfies the limits in `provider`. Loosen or remove them.", param="provider"
)
#: Our own cap on free models, a minute or a day.
FREE_CAP: Final = Verdict("provider_error", AWAY, "other", "rest", wait_s=60)
OVERLOADED: Final = replace(BUSY, wait_s=5)
OWN_STATUS: Final[dict[int, Verdict]] = {
    **{401: replace(ACCOUNT, retry="no"), 403: MODEL, 412: BAD_REQUEST},
    **{503: OVERLOADED, 524: SLOW, 529: OVERLOADED},
}
#: Signals about the choice of a model: whose mistake they are depends on who chose.
GONE: Final = frozenset(
    {
        *("model_not_found", "wrong_endpoint", "no_endpoints", "model_deprecated", "model_unavailable_upstream"),
        *("free_variant_ended", "constraint_filtered", "privacy_restricted", "not_found"),
    }
)
NARROWED: Final = frozenset({"constraint_filtered", "privacy_restricted", "no_endpoints", "not_found"})
REFUSED: Final = frozenset({"invalid_request", "invalid_prompt", "unprocessable", "precondition_failed"})
#: `availability.code` and `error_type`, section 7.
BY_WORD: Final[dict[str, Verdict]] = {
    **dict.fromkeys(("context_length_exceeded", "token_limit_exceeded", "string_too_long"), OVERLONG),
    **dict.fromkeys(("content_policy_violation", "refusal"), POLICY),
    **dict.fromkeys(("invalid_image", "image_too_large", "image_too_small", "unsupported_image_format"), BAD_IMAGE),
    **dict.fromkeys(("image_not_found", "image_download_failed"), BAD_IMAGE),
    **dict.fromkeys(("permission_denied", "region_restricted"), MODEL),
    **dict.fromkeys(("rate_limit_exceeded", "capacity_exhausted"), THROTTLED),
    **dict.fromkeys(("server", "unmapped", "provider_unavailable"), FAILED),
    **dict.fromkeys(("provider_overloaded", "temporarily_unavailable"), OVERLOADED),
    "authentication": OWN_STATUS[401],
    "payment_required": ACCOUNT,
    "max_tokens_exceeded": replace(
        BAD_REQUEST, message="This model writes less. Lower `max_tokens`.", param="max_tokens"
    ),
    "payload_too_large": TOO_LARGE,
    "timeout": SLOW,
}


def part(fault: Fault, name: str) -> dict[str, Any]:
    value = fault.error.get(name)
    return value if isinstance(value, dict) else {}


def lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}


def is_free(model: str) -> bool:
    return model == "openrouter/free" or model.endswith(":free")


def reset_s(reset: str | None, now: float) -> float | None:
    """Seconds until `X-RateLimit-Reset`, which counts Unix milliseconds."""
    return bounded_wait_s(int(reset) / 1000 - now) if reset and MILLISECONDS.fullmatch(reset) else None


def verdict_of(fault: Fault, status: int, ask: ChatAsk) -> Verdict:
    """In the order of section 6: availability code, error type, status."""
    metadata = part(fault, "metadata")
    words = (part(fault, "availability").get("code"), metadata.get("error_type"), fault.error.get("error_type"))
    word = next((word for word in words if isinstance(word, str)), "not_found" if status == 404 else "")
    if status == 403 and metadata.keys() & {"reasons", "flagged_input", "patterns"}:
        return POLICY
    if word in NARROWED and ask.client_limits:
        return LIMITS
    if word in GONE:
        return MODEL if ask.catalogued else NO_MODEL
    if word in BY_WORD:
        return BY_WORD[word]
    if status in (400, 412, 422) or word in REFUSED:
        return client_verdict(fault, ask)
    return status_verdict(status, OWN_STATUS)
