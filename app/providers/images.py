"""Images over Cloudflare's native endpoints and OpenRouter's: three kinds of request, any kind of reply.

What a model takes is catalog data, in its route's options: `request` (`json`, `multipart`, `chat`), `least` and `most`
pixels a side, `steps` (the most it takes; absent: it takes none), `negative` (whether it takes a negative prompt).
wire/cloudflare.md section 6, wire/openrouter.md sections 1 and 5.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.core.errors import UpstreamError
from app.core.images import LEAST_SIDE, MOST_SIDE, ImageRequest, Picture, fitted_size, picture_from_bytes, picture_in
from app.providers.chat import ChatProvider
from app.providers.dialect import TIRED, ChatAsk, Outgoing
from app.providers.fetch import Fetched, fetch
from app.providers.openai_compatible import decoded

FIRST_BYTE_S: Final = 120.0
#: Providers that can draw.
PROVIDERS: Final = frozenset({"cloudflare", "openrouter"})


@dataclass(frozen=True, slots=True)
class ImageAsk:
    """One image for one route; the seed differs from image to image of one request."""

    upstream_model: str
    request: ImageRequest
    seed: int | None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        least, most = self.options.get("least", LEAST_SIDE), self.options.get("most", MOST_SIDE)
        return fitted_size(self.request.width, self.request.height, least, most)

    @property
    def steps(self) -> int | None:
        most = self.options.get("steps")
        wanted = self.request.steps
        return None if most is None or wanted is None else min(wanted, most)

    @property
    def negative_prompt(self) -> str | None:
        return self.request.negative_prompt if self.options.get("negative") else None

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields of the client's that this model lacks."""
        asked = {"negative_prompt": self.request.negative_prompt, "steps": self.request.steps}
        sent = {"negative_prompt": self.negative_prompt, "steps": self.steps}
        return tuple(name for name in asked if asked[name] is not None and sent[name] is None)


def image_request(provider: str, headers: tuple[tuple[bytes, bytes], ...], ask: ImageAsk, boundary: str) -> Outgoing:
    """The request for one image. `boundary` must be a word that nobody can guess: a prompt may not end its part."""
    kind = ask.options.get("request", "json")
    if provider == "openrouter":
        path, fields = ("/chat/completions", _chat(ask)) if kind == "chat" else ("/images", _openrouter(ask))
    else:
        path, fields = f"/run/{ask.upstream_model}", _cloudflare(ask, "steps" if kind == "multipart" else "num_steps")
    fields = {name: value for name, value in fields.items() if value is not None}
    if kind != "multipart":
        return Outgoing(path, headers, msgspec.json.encode(fields), ask.dropped)
    own = tuple(header for header in headers if header[0] != b"content-type")
    form = (b"content-type", f"multipart/form-data; boundary={boundary}".encode())
    return Outgoing(path, (*own, form), multipart_form(fields, boundary), ask.dropped)


def multipart_form(fields: Mapping[str, Any], boundary: str) -> bytes:
    parts = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{''.join(parts)}--{boundary}--\r\n".encode("utf-8", "replace")


def picture_of(fetched: Fetched) -> Picture:
    """The image of a good answer, by its media type. Raises ValueError when there is none."""
    if fetched.media_type.startswith("image/"):
        return picture_from_bytes(fetched.body)
    body = decoded(fetched.body)
    if not isinstance(body, dict):
        raise ValueError("neither an image nor a JSON object")
    return picture_in(body)


async def draw(
    provider: ChatProvider, ask: ImageAsk, *, accepted: Callable[[], None], waited: Callable[[float], None]
) -> Picture:
    """One image. Raises UpstreamError."""
    about = ChatAsk(ask.upstream_model, {"seed": ask.seed}, "")
    fetched = await fetch(
        provider.upstream,
        image_request(provider.name, provider.dialect.headers, ask, secrets.token_hex(16)),
        first_byte_s=FIRST_BYTE_S,
        accepted=accepted,
        waited=waited,
    )
    if not fetched.good:
        raise provider.dialect.refusal(fetched.status, fetched.headers, fetched.body, ask.upstream_model, about)
    try:
        return picture_of(fetched)
    except ValueError as error:
        match decoded(fetched.body):
            case {"success": False} as envelope:
                raise provider.dialect.fault(envelope, about) from None
            case {"error": dict(fault)}:
                raise provider.dialect.fault(fault, about) from None
        raise UpstreamError(
            "upstream_error", TIRED, retry="once", breaker="count", status=fetched.status, detail=str(error)
        ) from None


def _cloudflare(ask: ImageAsk, steps: str) -> dict[str, Any]:
    width, height = ask.size
    return {
        "prompt": ask.request.prompt,
        "negative_prompt": ask.negative_prompt,
        "width": width,
        "height": height,
        steps: ask.steps,
        "seed": ask.seed,
    }


def _openrouter(ask: ImageAsk) -> dict[str, Any]:
    width, height = ask.size
    return {
        "model": ask.upstream_model,
        "prompt": ask.request.prompt,
        "n": 1,
        "size": f"{width}x{height}",
        "seed": ask.seed,
    }


def _chat(ask: ImageAsk) -> dict[str, Any]:
    return {
        "model": ask.upstream_model,
        "messages": [{"role": "user", "content": ask.request.prompt}],
        "modalities": ["image", "text"],
        "seed": ask.seed,
    }
