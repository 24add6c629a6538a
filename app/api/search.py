"""`POST /v1/search`: HTTP in, HTTP out; what happens between is `usecases.search`."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from app.api.exchange import Exchange
from app.api.idempotent import answer_once
from app.api.routed import open_facts
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.stream import served_headers
from app.core.identity import Principal
from app.core.money import UCR_PER_CREDIT, credits_from_ucr
from app.core.search import Result, Search, parse_search
from app.storage.database import Transaction
from app.storage.ledger import Ending
from app.usecases.routed import Done
from app.usecases.search import Answer, run_search
from app.usecases.settling import Beside
from app.usecases.sink import Served

ENDPOINT = "/v1/search"


def routes(services: ApiServices) -> Routes:
    api = Routes("search")

    @api.add("POST", ENDPOINT)
    async def search_web(exchange: Exchange) -> None:
        async def answer(principal: Principal) -> None:
            search = parse_search(exchange.body)
            reply = SearchReply(exchange, search)
            with open_facts(exchange, ENDPOINT, "search", "search-") as facts:
                done = await run_search(services.search, principal, search, facts, reply.settling)
            await reply.send(done)

        await answer_once(services, exchange, "search", answer)

    return api


class SearchReply:
    """Tells what was charged and what is left, so its body is made of the call's ending, with which it is kept."""

    def __init__(self, exchange: Exchange, search: Search) -> None:
        self._exchange = exchange
        self._search = search
        self._latency_ms = 0

    def settling(self, answer: Answer, served: Served) -> Beside | None:
        self._latency_ms = int((trio.current_time() - self._exchange.began) * 1000)
        recording = self._exchange.recording
        if recording is None:
            return None

        def keep(db: Transaction, ending: Ending) -> None:
            body = self._body(Done(answer, served, ending))
            recording.json(body, served_headers(served, self._exchange))(db, ending)

        return keep

    async def send(self, done: Done[Answer]) -> None:
        balance = f"{done.ending.balance / UCR_PER_CREDIT:.6f}".encode()
        headers = [*served_headers(done.served, self._exchange), (b"x-credits-balance", balance)]
        await self._exchange.reply_json(self._body(done), headers)

    def _body(self, done: Done[Answer]) -> bytes:
        search, (found, _) = self._search, done.answer
        body = {
            "query": search.query,
            "mode": search.mode,
            "provider": done.served.provider,
            "results": [_row(result) for result in found.results],
            "answer": found.answer,
            "images": found.images,
            "credits_used": credits_from_ucr(done.ending.charge),
            "balance": credits_from_ucr(done.ending.balance),
            "request_id": done.served.id,
            "latency_ms": self._latency_ms,
        }
        return msgspec.json.encode(body)


def _row(result: Result) -> dict[str, Any]:
    return msgspec.structs.asdict(result)
