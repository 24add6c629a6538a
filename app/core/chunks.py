"""One upstream chunk or completion as typed structs, its faults, and its usage object read with suspicion."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.core.deltas import Usage

#: Counts beyond this are a provider's bug, not an answer.
_PLAUSIBLE: Final = 1 << 53


class Malformed(Exception):
    """The upstream sent what is no chunk. `detail` names the place, never the content, so a log may hold it."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class StreamFault(Exception):
    """The upstream said in band that it failed; `error` is its own object, for the adapter to map."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__("the upstream reported an error in its stream")
        self.error = error


class WireFunction(msgspec.Struct, gc=False):
    name: Any = None
    arguments: Any = None


class WireCall(msgspec.Struct, gc=False):
    index: Any = None
    id: Any = None
    function: WireFunction | None = None


class WirePart(msgspec.Struct, gc=False):
    """A `delta` or a `message`. Whatever is not named here is dropped, `role` first of all (compat.md C4)."""

    content: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: list[WireCall] | None = None
    function_call: WireFunction | None = None
    refusal: Any = None
    reasoning_details: Any = None
    annotations: Any = None
    audio: Any = None
    images: Any = None


class WireChoice(msgspec.Struct, gc=False):
    index: int | None = 0
    delta: WirePart | None = None
    message: WirePart | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    error: Any = None
    usage: Any = None
    #: vLLM: the stop sequence that was met. OpenRouter: the finish in the words of the model's maker.
    stop_reason: Any = None
    native_finish_reason: Any = None


class WireChunk(msgspec.Struct, gc=False):
    choices: list[WireChoice] | None = None
    usage: Any = None
    error: Any = None
    id: Any = None
    model: Any = None
    provider: Any = None
    service_tier: Any = None
    moderation: Any = None
    obfuscation: Any = None


_decode = msgspec.json.Decoder(WireChunk).decode


def read_chunk(payload: bytes) -> WireChunk:
    """One payload, decoded. Raises Malformed; StreamFault for an envelope that is nothing but an error."""
    try:
        chunk = _decode(payload)
        if chunk.choices is None and chunk.usage is None and not chunk.error:
            _refuse_bare_error(msgspec.json.decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(_place(error)) from None
    except RecursionError:
        raise Malformed("nested too deep") from None
    return chunk


def _place(error: Exception) -> str:
    """`UnicodeDecodeError` quotes bytes of the content; only its kind may be told."""
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _refuse_bare_error(body: dict[str, Any]) -> None:
    """Older vLLM puts `message` at the top level, Cloudflare a list of `errors` (wire documents, error envelopes)."""
    match body:
        case {"errors": [dict() as first, *_]}:
            raise StreamFault(first)
        case {"message": str()}:
            raise StreamFault(body)


def fault(error: Any) -> dict[str, Any] | None:
    """The error object, or None for nothing and for the `{"code": 0}` some servers add to good chunks (C12)."""
    if isinstance(error, dict):
        return error if any(error.values()) else None
    return {"message": str(error)} if error else None


def read_usage(raw: Any) -> Usage | None:
    """Both totals or nothing; the details default to 0 and never exceed the total they are part of."""
    if not isinstance(raw, dict):
        return None
    prompt, completion = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    if prompt is None or completion is None:
        return None
    inside, out = _details(raw, "prompt_tokens_details"), _details(raw, "completion_tokens_details")
    cached = _first(
        _count(inside, "cached_tokens"), _count(raw, "cached_tokens"), _count(raw, "prompt_cache_hit_tokens")
    )
    cached = min(cached, prompt)
    return Usage(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_written=min(_first(_count(inside, "cache_write_tokens")), prompt - cached),
        reasoning=min(_first(_count(out, "reasoning_tokens")), completion),
        audio_in=min(_first(_count(inside, "audio_tokens")), prompt),
        audio_out=min(_first(_count(out, "audio_tokens")), completion),
    )


def read_cost(raw: Any) -> float | None:
    """What OpenRouter says the call cost it, in USD; it prices a pick outside the catalog (catalog.md section 4)."""
    cost = raw.get("cost") if isinstance(raw, dict) else None
    if isinstance(cost, (int, float)) and not isinstance(cost, bool) and 0 <= cost < _PLAUSIBLE:
        return float(cost)
    return None


def _count(source: dict[str, Any], key: str) -> int | None:
    value = source.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _PLAUSIBLE:
        return value
    return None


def _details(raw: dict[str, Any], key: str) -> dict[str, Any]:
    details = raw.get(key)
    return details if isinstance(details, dict) else {}


def _first(*counts: int | None) -> int:
    return next((count for count in counts if count is not None), 0)
