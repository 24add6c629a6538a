"""What is past its time is deleted in portions: again and again, by any process, with a rest between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from app.core.errors import Problem

log = structlog.get_logger(__name__)
SWEEP_S: Final = 600.0


async def run_sweeps(what: str, sweep: Callable[[], Awaitable[int]], portion: int, more_s: float) -> None:
    """Call `sweep`, which deletes up to `portion` and says how many; after a whole portion again in `more_s`.

    A database that is away is met by waiting for the next time.
    """
    pause_s = SWEEP_S
    while True:
        await trio.sleep(pause_s)
        pause_s = SWEEP_S
        try:
            if await sweep() >= portion:
                pause_s = more_s
        except Problem as problem:
            log.warning(f"{what}.sweep_failed", error=str(problem))
