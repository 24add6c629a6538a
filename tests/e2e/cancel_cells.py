"""The cancel matrix as data: surface x form x phase x way, what each phase must come to, which cells cannot exist.

These are the surfaces that answer with tokens; for the others see `routed_cells`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.e2e.surfaces import CHAT, MESSAGES, RESPONSES, TWINS, Surface
from tests.e2e.wire_clients import ExtraByteClient, H1Client, H2Client, StuckClient

Client = H1Client | H2Client

#: Tokens a second of an answer that is left on its way.
PACE: Final = 100
#: Model -> the rule of its cancel: OpenRouter's provider is made one that stops billing, the others are unknown.
MODELS: Final = {"openai/gpt-5.4-mini": "B3", "kimi-k2.6": "B4", "sarvam-30b": "B4", "kimi-k2.5-fast": "B4"}
WAYS: Final[dict[str, type[Client]]] = {
    "close": H1Client,
    "extra byte, then close": ExtraByteClient,
    "HTTP/2 reset": H2Client,
    "stops reading": StuckClient,
}


@dataclass(frozen=True, slots=True)
class Phase:
    """A moment in a call: how the provider is made to stop there, and what the ledger must say afterwards.

    `cues` take turns, run by run. `unread` are those for a client that stops reading, by form: more than the buffers of
    its sockets hold, except after the end.
    """

    cues: tuple[str, ...]
    outcome: str
    cancelled_at: str | None
    unread: Mapping[str, str] = field(default_factory=dict)


PHASES: Final = {
    "before upstream headers": Phase(("[mock=hang_headers]",), "cancelled", "before acceptance"),
    "before the first token": Phase(("[mock=hang_headers_after_accept]",), "cancelled", "before first token"),
    "mid-stream": Phase(
        ("[mock=hang_mid]", f"[tokens=400] [pace={PACE}]"), "cancelled", "mid-answer", {"stream": "[tokens=60000]"}
    ),
    "before the terminal event": Phase(
        ("[mock=hang_before_done] [tokens=30]", "[mock=hang_before_done] [mock=no_usage] [tokens=30]"),
        "cancelled",
        "mid-answer",
        {"stream": "[mock=hang_before_done] [mock=giant_line]"},
    ),
    "after the terminal event": Phase(
        ("[tokens=30]", "[mock=hang_after_done] [tokens=30]"),
        "completed",
        None,
        {"stream": "[tokens=30]", "body": "[mock=giant_line]"},
    ),
}

FITS: Final = "what has been sent by then fits any buffer: not to read it is to wait, and a client may wait"
SILENT: Final = "nothing is sent before the whole answer: there is nothing to stop reading"
#: On every surface.
NO_SUCH_CELL: Final = {
    ("stream", "before upstream headers", "stops reading"): FITS,
    ("stream", "before the first token", "stops reading"): FITS,
    ("body", "before upstream headers", "stops reading"): SILENT,
    ("body", "before the first token", "stops reading"): SILENT,
    ("body", "mid-stream", "stops reading"): SILENT,
    ("body", "before the terminal event", "stops reading"): SILENT,
}
ALL: Final = [(form, phase, way) for form in ("stream", "body") for phase in PHASES for way in WAYS]
CELLS: Final = [cell for cell in ALL if cell not in NO_SUCH_CELL]
#: A twin is the same handler under another path: one way to leave shows that it is.
SURFACE_CELLS: Final[list[tuple[Surface, str, str, str]]] = [
    *((surface, *cell) for surface in (CHAT, RESPONSES, MESSAGES) for cell in CELLS),
    *((surface, *cell) for surface in TWINS for cell in CELLS if cell[2] == "close"),
]
