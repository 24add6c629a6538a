"""The cancel matrix of what is billed by the unit, as data: route x phase x way, and the cells that cannot exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app.core.tokens import count_text
from tests.e2e.cancel_cells import WAYS
from tests.e2e.settlement import MARK
from tests.e2e.speaking import (
    CREDITS_PER_USD,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    hearing_ucr,
    recording,
    speaking_ucr,
)
from tests.e2e.wire_clients import Ask

CREDIT: Final = 1_000_000
#: What an HTTP/2 client may send without being asked to wait.
RECORDED_MS: Final = 400
#: Sound of more bytes than sockets hold.
LONG: Final = " and so on" * 380
#: What an image costs.
IMAGES: Final = {"lucid-origin": 8 * CREDIT, "phoenix-1.0": 10 * CREDIT, "flux-2-pro": 10 * CREDIT}
#: Micro-USD for a million tokens.
EMBEDDINGS: Final = {"bge-m3": 12_000, "text-embedding-3-small": 20_000}


@dataclass(frozen=True, slots=True)
class Routed:
    """A route, its models or, of a search, its providers.

    `ask` makes the request from a model and the words that the simulator looks into; `price` is what a whole answer
    costs, which a client that leaves pays on the basis `accepted` as soon as a provider has taken the request. None is
    for what has not been made before it is there.
    """

    path: str
    models: tuple[str, ...]
    ask: Callable[[str, str], dict[str, Any]]
    price: Callable[[str, str], int]
    accepted: str | None
    finished: str = "B17"
    is_form: bool = False

    def question(self, tag: str, cues: str, model: str, **more: Any) -> Ask:
        """A request that the provider's book and the gateway's ledger both know by `tag`."""
        fields = self.ask(model, words(tag, cues)) | more | {MARK + tag: "1"}
        if not self.is_form:
            return Ask(msgspec.json.encode(fields), self.path)
        return Ask(form(fields), self.path, "multipart/form-data; boundary=x")


def words(tag: str, cues: str) -> str:
    return f"a lamp [tag={tag}] {cues}"


def form(fields: Mapping[str, Any]) -> bytes:
    """A multipart body; bytes are the file."""
    parts = []
    for name, value in fields.items():
        is_file = isinstance(value, bytes)
        named = f'content-disposition: form-data; name="{name}"' + ('; filename="a.wav"' if is_file else "")
        parts.append(b"--x\r\n%b\r\n\r\n%b\r\n" % (named.encode(), value if is_file else str(value).encode()))
    return b"".join(parts) + b"--x--\r\n"


def _hearing(path: str, *models: str) -> Routed:
    return Routed(
        path,
        models,
        lambda model, said: {"model": model, "file": recording(RECORDED_MS, said)},
        lambda model, _: hearing_ucr(model, RECORDED_MS),
        "usage_snapshot",
        is_form=True,
    )


SPEAKS: Final = Routed(
    SPEECH,
    ("aura-2-en", "gpt-4o-mini-tts", "bulbul:v3"),
    lambda model, said: {"model": model, "input": said, "response_format": "pcm"},
    lambda model, said: speaking_ucr(model, len(said)),
    "usage_snapshot",
)
ROUTES: Final = (
    _hearing(TRANSCRIPTIONS, "saaras:v3", "whisper-large-v3-turbo", "nova-3", "whisper"),
    _hearing(TRANSLATIONS, "saaras:v3", "whisper-large-v3-turbo"),
    SPEAKS,
    Routed(
        "/v1/search",
        ("serper", "exa", "brave"),
        lambda provider, said: {"provider": provider, "query": said},
        lambda *_: CREDIT,
        "usage_snapshot",
    ),
    Routed(
        "/v1/images/generations",
        tuple(IMAGES),
        lambda model, said: {"model": model, "prompt": said},
        lambda model, _: IMAGES[model],
        None,
    ),
    Routed(
        "/v1/embeddings",
        tuple(EMBEDDINGS),
        lambda model, said: {"model": model, "input": said},
        lambda model, said: -(-count_text(said) * EMBEDDINGS[model] * CREDITS_PER_USD // 1_000_000),
        "tokenizer_estimate",
        "B5",
    ),
)
#: The moment and the cue that makes the provider stop there.
PHASES: Final = {
    "before upstream headers": "[mock=hang_headers]",
    "before the first byte": "[mock=hang_headers_after_accept]",
    "amid the answer": "[mock=hang_mid]",
    "before its end": "[mock=hang_after_done]",
    "after its end": "",
}
SILENT: Final = "nothing is sent before the whole answer: there is nothing to stop reading"
FITS: Final = "what has been sent by then fits any buffer: not to read it is to wait, and a client may wait"
WHOLE: Final = "the answer says how long it is: its last byte is its end"
FULL: Final = "with full buffers the last byte does not leave: it is the same as amid the answer"
ALL: Final = [(route, phase, way) for route in ROUTES for phase in PHASES for way in WAYS]


def why_not(route: Routed, phase: str, way: str) -> str | None:
    """The reason why this cell cannot exist."""
    stuck = way == "stops reading"
    if route is not SPEAKS:
        if phase == "before its end":
            return WHOLE
        return (FITS if phase == "after its end" else SILENT) if stuck else None
    if not stuck or phase == "amid the answer":
        return None
    return FITS if phase in ("before upstream headers", "before the first byte") else FULL


CELLS: Final = [cell for cell in ALL if why_not(*cell) is None]
