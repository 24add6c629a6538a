"""How calls ended, as the status that their clients saw; and which calls somebody means who asks for a status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from app.core.errors import CODES
from app.core.ledger import Outcome

Group = Literal["success", "error", "cancelled", "running"]
OK: Final = 200
CLIENT_LEFT: Final = 499
OUR_FAULT: Final = 500


@dataclass(frozen=True, slots=True)
class Endings:
    """Calls with one of these outcomes, and with one of these failures unless that is None; none means running."""

    outcomes: tuple[Outcome, ...]
    failures: tuple[str, ...] | None = None


RUNNING: Final = Endings(())
GROUPS: Final[dict[Group, Endings]] = {
    "success": Endings(("completed",)),
    "error": Endings(("failed", "interrupted")),
    "cancelled": Endings(("cancelled",)),
    "running": RUNNING,
}


def endings_of(status: Group | int) -> Endings:
    """What a wish for a status means: a group, or the status code itself."""
    if not isinstance(status, int):
        return GROUPS[status]
    if status == OK:
        return GROUPS["success"]
    if status == CLIENT_LEFT:
        return GROUPS["cancelled"]
    unnamed = ("",) if status == OUR_FAULT else ()
    codes = tuple(code for code, (number, _) in CODES.items() if number == status)
    return Endings(("failed", "interrupted"), codes + unnamed)


def status_of(outcome: Outcome | None, failure: str) -> int | None:
    """The status of a call that ended so, None while it runs; a process that died is our fault."""
    match outcome:
        case None:
            return None
        case "completed":
            return OK
        case "cancelled":
            return CLIENT_LEFT
        case "failed" | "interrupted":
            return CODES[failure][0] if failure in CODES else OUR_FAULT


def error_of(outcome: Outcome | None, failure: str) -> str | None:
    """The error's code, None without one: never a provider's words."""
    if outcome == "interrupted":
        return "interrupted"
    return failure or None
