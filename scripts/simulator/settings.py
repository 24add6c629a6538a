"""How the simulator answers when a request does not say otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Pace in tokens per second and time to the first token; None means at once. Cues in a prompt override both.

    `webhook_retry_scale` shortens the pauses before a webhook of WhatsApp is tried again: 1 is as slow as Meta.
    """

    pace: float | None = None
    first_token_ms: float | None = None
    default_tokens: int = 40
    reasoning_tokens: int = 12
    max_body_bytes: int = 64 * 1024 * 1024
    webhook_retry_scale: float = 0.1
