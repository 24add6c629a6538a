"""What machines ask: alive, ready, how it goes. On the main port as routes, on a port of their own as a small app."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app.api import credentials
from app.api.exchange import Exchange
from app.api.routes import Routes
from app.core.errors import Problem
from app.observability.page import MetricsPage
from app.observability.readiness import Readiness

ALIVE: Final = b'{"status":"ok"}'
JSON: Final = b"application/json"
#: Status, content type, body.
Answer = tuple[int, bytes, bytes]


@dataclass(frozen=True, slots=True)
class HealthServices:
    """`token` lets metrics be read on the main port; without one they are not there."""

    readiness: Readiness
    page: MetricsPage
    token: str = ""


def routes(services: HealthServices) -> Routes:
    api = Routes("health")

    @api.add("GET", "/healthz")
    async def alive(exchange: Exchange) -> None:
        await exchange.reply_json(ALIVE)

    @api.add("GET", "/readyz")
    async def ready(exchange: Exchange) -> None:
        await _reply(exchange, await _ready(services))

    if services.token:

        @api.add("GET", "/metrics")
        async def metrics(exchange: Exchange) -> None:
            sent = credentials.api_key(exchange) or ""
            if not hmac.compare_digest(sent.encode(), services.token.encode()):
                raise Problem("invalid_api_key", "Send the gateway's METRICS_TOKEN as a Bearer token.")
            await _reply(exchange, await _metrics(services, exchange.header(b"accept")))

    return api


def monitoring_app(services: HealthServices) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """An ASGI application for the port that only monitoring reaches: it asks for no token."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                await send({"type": f"{(await receive())['type']}.complete"})
        headers = dict(scope["headers"])
        status, kind, body = await _answer(services, scope["path"], headers.get(b"accept", b"").decode("latin1"))
        head = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})

    return app


async def _answer(services: HealthServices, path: str, accept: str) -> Answer:
    match path:
        case "/metrics":
            return await _metrics(services, accept)
        case "/readyz":
            return await _ready(services)
        case "/healthz":
            return 200, JSON, ALIVE
        case _:
            return 404, JSON, Problem("not_found", "Here are /metrics, /readyz and /healthz.").body()


async def _metrics(services: HealthServices, accept: str | None) -> Answer:
    body, kind = await services.page.render(accept)
    return 200, kind.encode(), body


async def _ready(services: HealthServices) -> Answer:
    ready, body = await services.readiness.check()
    return 200 if ready else 503, JSON, msgspec.json.encode(body)


async def _reply(exchange: Exchange, answer: Answer) -> None:
    status, kind, body = answer
    await exchange.reply(status, [(b"content-type", kind)], body)
