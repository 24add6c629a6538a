"""Embeddings over any OpenAI-like host: batches of the size it takes, one list of vectors, one usage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.core.embeddings import Encoding, Vector, encoded
from app.core.errors import UpstreamError
from app.providers.chat import ChatProvider
from app.providers.dialect import TIRED, ChatAsk, Outgoing
from app.providers.fetch import Fetched, fetch
from app.providers.openai_compatible import decoded

#: Provider -> the path of its embeddings; others have it where OpenAI has it.
PATHS: Final = {"cloudflare": "/v1/embeddings"}
#: Providers that take `encoding_format`; others are asked for numbers, which need no asking.
ENCODERS: Final = frozenset({"openrouter"})


@dataclass(frozen=True, slots=True)
class EmbeddingAsk:
    """One embeddings call for one route."""

    upstream_model: str
    texts: tuple[str, ...]
    encoding: Encoding
    dimensions: int | None
    options: Mapping[str, Any] = field(default_factory=dict)

    def batches(self) -> Iterator[tuple[str, ...]]:
        """`max_batch` of the route's options is the most texts that this upstream takes at once."""
        size = int(self.options.get("max_batch", len(self.texts)))
        for start in range(0, len(self.texts), size):
            yield self.texts[start : start + size]


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors in the order of the texts; `prompt_tokens` None when the provider did not say."""

    vectors: tuple[msgspec.Raw, ...]
    prompt_tokens: int | None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Reply(msgspec.Struct, frozen=True):
    data: list[Vector]
    usage: _Usage | None = None


def embedding_request(provider: str, headers: tuple[tuple[bytes, bytes], ...], ask: EmbeddingAsk) -> Outgoing:
    """The request for the texts of `ask`, all of them."""
    body: dict[str, Any] = {"model": ask.upstream_model, "input": list(ask.texts)}
    if ask.dimensions is not None:
        body["dimensions"] = ask.dimensions
    if provider in ENCODERS:
        body["encoding_format"] = ask.encoding
    return Outgoing(PATHS.get(provider, "/embeddings"), headers, msgspec.json.encode(body), ())


def embeddings_in(body: bytes, ask: EmbeddingAsk) -> Embedded:
    """The vectors of a good answer. Raises ValueError for any other."""
    reply = msgspec.json.decode(body, type=_Reply)
    by_place = {place if item.index is None else item.index: item for place, item in enumerate(reply.data)}
    if by_place.keys() != set(range(len(ask.texts))) or len(reply.data) != len(ask.texts):
        raise ValueError("there is not one embedding for each text")
    usage = reply.usage or _Usage()
    tokens = usage.total_tokens if usage.prompt_tokens is None else usage.prompt_tokens
    if tokens is not None and tokens < 0:
        tokens = None
    vectors = (encoded(by_place[place], ask.encoding, ask.dimensions) for place in range(len(ask.texts)))
    return Embedded(tuple(vectors), tokens)


async def embed(
    provider: ChatProvider, ask: EmbeddingAsk, *, accepted: Callable[[], None], waited: Callable[[float], None]
) -> Embedded:
    """All texts, one batch after the other. Raises UpstreamError: then no batch of it counts."""
    vectors: list[msgspec.Raw] = []
    tokens: int | None = 0
    for batch in ask.batches():
        part = EmbeddingAsk(ask.upstream_model, batch, ask.encoding, ask.dimensions)
        fetched = await fetch(
            provider.upstream,
            embedding_request(provider.name, provider.dialect.headers, part),
            first_byte_s=provider.first_byte_s,
            accepted=accepted,
            waited=waited,
        )
        found = _read(provider, fetched, part)
        vectors += found.vectors
        tokens = None if tokens is None or found.prompt_tokens is None else tokens + found.prompt_tokens
    return Embedded(tuple(vectors), tokens)


def _read(provider: ChatProvider, fetched: Fetched, ask: EmbeddingAsk) -> Embedded:
    about = ChatAsk(ask.upstream_model, {"dimensions": ask.dimensions}, "")
    if not fetched.good:
        raise provider.dialect.refusal(fetched.status, fetched.headers, fetched.body, ask.upstream_model, about)
    try:
        return embeddings_in(fetched.body, ask)
    except (ValueError, msgspec.DecodeError) as error:
        match decoded(fetched.body):
            case {"success": False} as envelope:
                raise provider.dialect.fault(envelope, about) from None
            case {"error": dict(fault)}:
                raise provider.dialect.fault(fault, about) from None
        raise UpstreamError(
            "upstream_error", TIRED, retry="once", breaker="count", status=fetched.status, detail=str(error)[:200]
        ) from None
