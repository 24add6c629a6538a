"""Where a chat answer goes, as the use-case sees it: a stream of events, one JSON body, a bot's reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.core.allowance import Allowance
from app.core.deltas import Delta, Usage
from app.usecases.settling import Beside


@dataclass(slots=True)
class Served:
    """What a surface tells about a call; filled in as it becomes known, constant once the answer has begun."""

    id: str
    model: str
    created: int
    allowance: Allowance
    provider: str = ""
    attempts: int = 0
    dropped: tuple[str, ...] = ()
    #: Our own count of the prompt: what is known of it before the answer is over.
    prompt_tokens: int = 0


class ChatSink(Protocol):
    """All of it runs in the call's task; a sink that waits slows the provider down."""

    #: Whether anything reached the client: from then on model and status are fixed.
    opened: bool
    #: Nothing reaches the client before `finish`: another route may begin anew even after content.
    holds_back: bool

    def admitted(self, served: Served, *, early: bool) -> None:
        """The hold stands. `early`: the answer may begin before a provider has accepted."""

    def accepted(self) -> None:
        """A provider has accepted: the answer may begin in any case. What another route wrote before is void."""

    async def write(self, deltas: Sequence[Delta]) -> None: ...

    async def settling(self, finishes: Mapping[int, str], usage: Usage) -> Beside | None:
        """The answer is whole and is about to be settled: what to write in the same transaction, if anything."""

    async def finish(self, finishes: Mapping[int, str], usage: Usage) -> None:
        """The call is settled: send the end."""
