"""Whether a bot can answer its customers, and what is missing (spec.md section 16)."""

from __future__ import annotations

from typing import Literal

import msgspec


class DeployCheck(msgspec.Struct, frozen=True):
    """One thing that a bot needs; `message` says what to do where it is not `ok`."""

    name: Literal["active", "prompt", "number", "webhook", "template", "model", "credits"]
    ok: bool
    message: str


class DeployReport(msgspec.Struct, frozen=True):
    """`ready` when every check is ok."""

    ready: bool
    checks: list[DeployCheck]
