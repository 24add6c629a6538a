"""One question of a bot to its model, by the way of every chat call, and its whole answer.

A call whose turn is given up is free, unlike that of a client who leaves: the user was sent nothing of it, and the turn
that takes its place is charged (channels.md sections 4.5 and 6.4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
import trio

from app.core.accumulate import Accumulator
from app.core.call_facts import Marks
from app.core.chat import ChatRequest, read_chat
from app.core.deltas import Delta, Usage
from app.core.errors import Problem, UpstreamError
from app.core.identity import Clock, Principal
from app.observability.facts import CallFacts
from app.storage import bot_keys
from app.storage.database import Database
from app.storage.ledger import StaleKey
from app.usecases.chat import run_chat
from app.usecases.chat_services import ChatServices
from app.usecases.settling import Beside
from app.usecases.sink import Served
from channels.answering.bot_models import takes_tools

T = TypeVar("T")
ENDPOINT: Final = "whatsapp"
NOTHING_TO_SEND: Final = "The model answered without a word."
REFRESHES: Final = 3


class ToolCall(msgspec.Struct, frozen=True):
    """The model wants a function called; `arguments` is the JSON text as it wrote it."""

    id: str
    name: str
    arguments: str


class Answer(msgspec.Struct, frozen=True):
    """What the model said, whole. `tokens` is prompt and completion together."""

    call_id: str
    model: str
    text: str
    calls: list[ToolCall]
    tokens: int


#: What is written in the transaction that charges an answer. An exception in it makes the answer free, and is raised.
Settling = Callable[[Answer], Beside | None]


def nothing(_answer: Answer) -> Beside | None:
    return None


async def ask(
    services: ChatServices,
    principal: Principal,
    body: dict[str, Any],
    marks: Marks,
    settling: Settling = nothing,
) -> Answer:
    """Ask and settle. Raises Problem, nothing having been charged then; StaleKey. A cancel is free, too."""
    request = _with_other_models(services, read_chat(body))
    facts = facts_of(marks, "chat")
    sink = _WholeAnswer(settling)
    await run_chat(services, principal, request, sink, facts)
    return sink.answer


def _with_other_models(services: ChatServices, request: ChatRequest) -> ChatRequest:
    """Of a client's call functions keep other models away, since those might answer in another shape. A bot reads
    answers whole, in any shape: any other model of it that takes functions may answer, too.
    """
    if not request.tools:
        return request
    others = [name for name in request.fields.models or () if takes_tools(services.models, name)]
    others = [name for name in dict.fromkeys(others) if name != request.model]
    ignored = tuple(name for name in request.ignored if name != "models")
    return msgspec.structs.replace(request, fallbacks=tuple(others), ignored=ignored)


def facts_of(marks: Marks, operation: str) -> CallFacts:
    """Of a call for a bot: free when it is given up, unlike that of a client who leaves."""
    request_id = marks.trace_id or marks.session_id
    return CallFacts(request_id, ENDPOINT, trio.current_time(), operation=operation, marks=marks, free_when_left=True)


async def as_bot(
    db: Database, tenant_id: str, bot_id: str, clock: Clock, work: Callable[[Principal], Awaitable[T]]
) -> T:
    """Do `work` with what the bot spends by, read anew while the tenant is being changed. Raises Problem."""
    for _ in range(REFRESHES):
        principal = await find_principal(db, tenant_id, bot_id, clock)
        try:
            return await work(principal)
        except StaleKey:
            continue
    raise Problem("storage_unavailable", "The organisation is being changed right now. Try again.", retry_after_s=1)


async def find_principal(db: Database, tenant_id: str, bot_id: str, clock: Clock) -> Principal:
    """What the bot spends by; made when it is not there yet. Raises Problem."""
    found = await db.read(tenant_id, lambda read: bot_keys.find_principal(read, tenant_id, bot_id))
    if found is not None:
        return found
    return await db.write(tenant_id, lambda write: bot_keys.bot_principal(write, tenant_id, bot_id, clock()))


class _WholeAnswer:
    """A `ChatSink` that keeps everything to itself until it is whole."""

    def __init__(self, settling: Settling) -> None:
        self.opened = False
        self.holds_back = True
        self.answer: Answer
        self._settling = settling
        self._served: Served
        self._folded = Accumulator()

    def admitted(self, served: Served, *, early: bool) -> None:
        self._served = served

    def accepted(self) -> None:
        self._folded = Accumulator()

    async def write(self, deltas: Sequence[Delta]) -> None:
        self._folded.add(deltas)

    async def settling(self, finishes: Mapping[int, str], usage: Usage) -> Beside | None:
        message = self._folded.message()
        calls = [ToolCall(call["id"], **call["function"]) for call in message.get("tool_calls") or ()]
        text = message["content"] or ""
        if not (text.strip() or calls):  # only thoughts, or nothing: another try, and nothing is charged
            raise UpstreamError("upstream_error", NOTHING_TO_SEND, retry="once", detail="no text")
        served = self._served
        self.answer = Answer(served.id, served.model, text, calls, usage.prompt + usage.completion)
        return self._settling(self.answer)

    async def finish(self, finishes: Mapping[int, str], usage: Usage) -> None:
        """Settled; whoever asked has it."""
