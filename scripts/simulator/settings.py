"""How the simulator answers when a request does not say otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Pace in tokens per second and time to the first token; None means at once. Cues in a prompt override both."""

    pace: float | None = None
    first_token_ms: float | None = None
    default_tokens: int = 40
    reasoning_tokens: int = 12
    max_body_bytes: int = 64 * 1024 * 1024
