"""The way of a request that changes or costs something: who asks, were they answered before, and if not, the answer.

    await answer_once(services, exchange, "llm", answer)

With an `Idempotency-Key` the answer is given once: a repeat gets the same bytes again, without a charge (spec.md
section 17). Without one nothing is read, written or copied for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from app.api import credentials
from app.api.exchange import Exchange
from app.api.recording import Recording
from app.api.services import ApiServices
from app.core.idempotency import HEADER, Claim, fingerprint, key_digest
from app.core.identity import Principal, Visitor
from app.core.kept_reply import KeptReply
from app.usecases.idempotency import Idempotency

NAME: Final = HEADER.lower().encode()
REPLAY: Final = (b"idempotent-replay", b"true")
#: A longer body is hashed in a thread: twenty megabytes take as many milliseconds.
LONG_BODY: Final = 1024 * 1024

Answer = Callable[[Principal], Awaitable[None]]
#: The parts of a request that make it the same request; by default its body.
Parts = Callable[[], Awaitable[tuple[bytes, ...]]]


async def answer_once(
    services: ApiServices, exchange: Exchange, permission: str, answer: Answer, parts: Parts | None = None
) -> None:
    """`answer` with the principal that the key stands for, if it may; a repeat is answered as the first was.

    Raises Problem.
    """
    key = exchange.header(NAME)

    async def run(principal: Principal) -> None:
        credentials.check(exchange, principal, permission)
        if key is None:
            await answer(principal)
            return

        async def claimed(claim: Claim) -> None:
            await answer(replace(principal, claim=claim))

        await _once(exchange, services.idempotency, principal.tenant_id, claimed, parts, principal)

    await services.access.run(credentials.api_key(exchange), run)


async def write_once(
    services: ApiServices, exchange: Exchange, visitor: Visitor, write: Callable[[], Awaitable[None]]
) -> None:
    """`write` for what costs nothing: it must answer by `Exchange.reply`. A repeat is answered as the first was.

    The visitor has been let in; a key is theirs alone, since answers may hold what only they may see. A process that
    dies between what is written and its answer lets the repeat run. Raises Problem.
    """
    if exchange.header(NAME) is None:
        await write()
        return
    who = visitor.key.key_id if visitor.key is not None else visitor.user_id

    async def parts() -> tuple[bytes, ...]:
        return who.encode(), exchange.body

    async def claimed(_claim: Claim) -> None:
        await write()

    await _once(exchange, services.idempotency, visitor.tenant_id, claimed, parts)


async def _once(
    exchange: Exchange,
    idempotency: Idempotency,
    tenant_id: str,
    answer: Callable[[Claim], Awaitable[None]],
    parts: Parts | None = None,
    principal: Principal | None = None,
) -> None:
    """Claim the key and answer, or answer as the first request with it was. Raises Problem, StaleKey.

    What is replied is kept or releases the key (`Recording.reply`), so only a client that leaves is seen to here.
    """
    recording = exchange.recording
    if recording is None:
        claim = await _claim(exchange, parts)
        known = await idempotency.claim(tenant_id, claim, principal)
        if known is not None:
            await _replay(exchange, known)
            return
        recording = exchange.recording = Recording(idempotency, tenant_id, claim)
    try:
        await answer(recording.claim)
    except BaseException as error:
        if not isinstance(error, Exception):
            await recording.release()
        raise


async def _claim(exchange: Exchange, parts: Parts | None) -> Claim:
    key = key_digest(exchange.header(NAME) or "")
    sent = (exchange.body,) if parts is None else await parts()
    scope = exchange.scope
    take = partial(fingerprint, scope["method"], scope["path"], scope["query_string"], *sent)
    is_long = sum(map(len, sent)) > LONG_BODY
    return Claim(key, await trio.to_thread.run_sync(take) if is_long else take(), exchange.request_id)


async def _replay(exchange: Exchange, known: KeptReply) -> None:
    exchange.note["replay"] = True
    await exchange.reply(known.status, [*known.headers, REPLAY], known.body)
