"""What every surface does with a chat request: run the call beside its stream's clock, and tell failures honestly."""

from __future__ import annotations

import trio

from app.api.exchange import CRASHED, Exchange
from app.api.services import ApiServices
from app.api.stream import StreamSink
from app.core.call_facts import UNMARKED, Marks, kept_mark
from app.core.chat import ChatRequest
from app.core.errors import Problem
from app.core.identity import Principal
from app.observability.facts import CallFacts
from app.usecases.chat import run_chat


def begin_facts(exchange: Exchange, endpoint: str, chat: ChatRequest, id_prefix: str = "") -> CallFacts:
    """The facts of the call that this request makes, known to the exchange from now on."""
    exchange.call = facts = CallFacts(exchange.request_id, endpoint, exchange.began, id_prefix=id_prefix)
    facts.streamed, facts.sdk_retries, facts.marks = chat.stream, sdk_retries(exchange), call_marks(exchange)
    return facts


async def answer_streamed(
    services: ApiServices, principal: Principal, chat: ChatRequest, sink: StreamSink, facts: CallFacts
) -> None:
    """Run the call into a stream. Raises what became of it unless the stream has begun, which then tells it in band."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.run_clock)
        try:
            await run_chat(services.chat, principal, chat, sink, facts)
        except Exception as error:  # noqa: BLE001 - raised again outside, where it is not in a group
            told = isinstance(error, Problem) and sink.opened
            failure = None if told else error
            if sink.opened:
                await sink.fail(error if isinstance(error, Problem) else Problem("internal_error", CRASHED))
        finally:
            facts.heartbeats, facts.blocked_s = sink.heartbeats, sink.blocked_s
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def sdk_retries(exchange: Exchange) -> int:
    """What an SDK says of its own retries (compat.md H8)."""
    text = exchange.header(b"x-stainless-retry-count") or "0"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def call_marks(exchange: Exchange) -> Marks:
    """What the client calls the session and the trace that the call belongs to (spec.md section 16)."""
    session_id, trace_id = (exchange.headers.get(name, b"") for name in (b"x-session-id", b"x-trace-id"))
    if not session_id and not trace_id:
        return UNMARKED
    return Marks(kept_mark(session_id.decode(errors="replace")), kept_mark(trace_id.decode(errors="replace")))
