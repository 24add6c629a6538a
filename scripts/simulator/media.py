"""Images and embeddings, as Cloudflare and OpenRouter serve them (wire/cloudflare.md 4, 6; wire/openrouter.md 5)."""

from __future__ import annotations

import re
from array import array
from base64 import b64decode, b64encode
from typing import Any, Final

import msgspec

from app.core.tokens import count_text
from scripts.simulator.chat import Asked, refusal
from scripts.simulator.script import Script
from scripts.simulator.unary import Body, answer_whole, json_body

#: One grey pixel.
PNG: Final = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")
#: Models whose answer is the image itself.
RAW: Final = ("phoenix-1.0", "stable-diffusion-xl-lightning", "dreamshaper-8-lcm")
#: Models that take a form even for a bare prompt.
FORMS: Final = ("flux-2-dev", "flux-2-klein-9b")
NATIVE: Final = {"bge-m3": 1024, "text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
MOST_TEXTS: Final = 100
_FIELD: Final = re.compile(rb'name="(\w+)"\r\n\r\n(.*?)\r\n--', re.DOTALL)


def cloudflare_image(asked: Asked) -> Script:
    model = asked.record.path.partition("/run/")[2]
    name = model.rpartition("/")[2]
    form = asked.headers.get("content-type", "").startswith("multipart/form-data")
    fields = _form(asked.body) if form else _json(asked.body)
    if fields is None or not fields.get("prompt") or form != (name in FORMS):
        return refusal(asked.dialect, "bad_request")
    asked.record.keep_body(msgspec.json.encode(fields))
    image = b64encode(PNG).decode()

    def body() -> Body:
        if name in RAW:
            return Body(PNG, b"", (("content-type", "image/png"),))
        return json_body({"result": {"image": image}, "success": True, "errors": []}, {"result": {}, "success": True})

    return answer_whole(asked, model, str(fields["prompt"]), body)


def openrouter_image(asked: Asked) -> Script:
    fields = _json(asked.body)
    if fields is None or not fields.get("prompt") or not fields.get("model"):
        return refusal(asked.dialect, "bad_request")
    asked.record.keep_body(asked.body)
    entry = {"b64_json": b64encode(PNG).decode(), "media_type": "image/png"}
    count = int(fields.get("n") or 1)
    return answer_whole(
        asked,
        str(fields["model"]),
        str(fields["prompt"]),
        lambda: json_body({"created": 1, "data": [entry] * count}, {"created": 1, "data": []}),
    )


def embeddings(asked: Asked) -> Script:
    """Every text's vector begins with its length and its place, so that a mix-up shows."""
    fields = _json(asked.body)
    if fields is None or not fields.get("model") or not fields.get("input"):
        return refusal(asked.dialect, "bad_request")
    asked.record.keep_body(asked.body)
    texts = [fields["input"]] if isinstance(fields["input"], str) else fields["input"]
    if asked.dialect.name == "cloudflare" and len(texts) > MOST_TEXTS:
        return refusal(asked.dialect, "bad_request")
    name = str(fields["model"]).rpartition("/")[2]
    size = int(fields.get("dimensions") or NATIVE.get(name, 8))
    packed = fields.get("encoding_format") == "base64"
    tokens = sum(map(count_text, texts))

    def body() -> Body:
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        data = [
            {"object": "embedding", "index": place, "embedding": _vector(text, place, size, packed=packed)}
            for place, text in enumerate(texts)
        ]
        shell: dict[str, Any] = {"object": "list", "model": fields["model"]}
        full = shell | {"data": data} | ({} if "[mock=no_usage]" in texts[0] else {"usage": usage})
        return json_body(full, shell | {"data": [], "usage": usage}, usage)

    asked.record.prompt_tokens = tokens
    return answer_whole(asked, str(fields["model"]), str(texts[0]), body)


def _vector(text: str, place: int, size: int, *, packed: bool) -> str | list[float]:
    numbers = [float(len(text)), float(place), *[0.5] * size][:size]
    return b64encode(array("f", numbers).tobytes()).decode() if packed else numbers


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return fields if isinstance(fields, dict) else None


def _form(body: bytes) -> dict[str, Any]:
    return {name.decode(): value.decode() for name, value in _FIELD.findall(body)}
