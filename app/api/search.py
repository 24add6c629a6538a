"""`POST /v1/search`: HTTP in, HTTP out; what happens between is `usecases.search`."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from app.api import credentials
from app.api.exchange import Exchange
from app.api.routed import open_facts
from app.api.routes import Routes
from app.api.services import ApiServices
from app.api.stream import served_headers
from app.core.identity import Principal
from app.core.money import UCR_PER_CREDIT, credits_from_ucr
from app.core.search import Result, Search, parse_search
from app.usecases.search import Searched, run_search

ENDPOINT = "/v1/search"


def routes(services: ApiServices) -> Routes:
    api = Routes("search")

    @api.add("POST", ENDPOINT)
    async def search_web(exchange: Exchange) -> None:
        async def answer(principal: Principal) -> None:
            credentials.check(exchange, principal, "search")
            search = parse_search(exchange.body)
            with open_facts(exchange, ENDPOINT, "search", "search-") as facts:
                searched = await run_search(services.search, principal, search, facts)
            await _reply(exchange, search, searched)

        await services.access.run(credentials.api_key(exchange), answer)

    return api


async def _reply(exchange: Exchange, search: Search, searched: Searched) -> None:
    served, balance = searched.done.served, searched.balance_ucr
    found, _ = searched.done.answer
    body = {
        "query": search.query,
        "mode": search.mode,
        "provider": served.provider,
        "results": [_row(result) for result in found.results],
        "answer": found.answer,
        "images": found.images,
        "credits_used": credits_from_ucr(searched.done.ending.charge),
        "balance": None if balance is None else credits_from_ucr(balance),
        "request_id": served.id,
        "latency_ms": int((trio.current_time() - exchange.began) * 1000),
    }
    headers = served_headers(served, exchange)
    if balance is not None:
        headers.append((b"x-credits-balance", f"{balance / UCR_PER_CREDIT:.6f}".encode()))
    await exchange.reply_json(msgspec.json.encode(body), headers)


def _row(result: Result) -> dict[str, Any]:
    return msgspec.structs.asdict(result)
