"""How much a number may send, and when (wire/whatsapp-meta.md section 11): buckets as theoretical arrival times."""

from __future__ import annotations

from typing import Final

#: A user's message opens it for this long.
WINDOW_S: Final = 24 * 3600
#: One message to a user every 6 s; up to 45 at once are borrowed from later.
PAIR_EVERY_S: Final = 6.0
PAIR_BURST: Final = 45
TYPING_S: Final = 25
#: Unix seconds as floats are no more exact than this after many additions.
_GRACE_S: Final = 0.001


def may_go(tat: float, now: float, every_s: float, burst: int) -> bool:
    """Whether a bucket that is full again at `tat` has a token left."""
    return tat - now <= every_s * (burst - 1) + _GRACE_S


def spent(tat: float, now: float, every_s: float) -> float:
    """When the bucket is full again, one token later."""
    return max(tat, now) + every_s
