"""The Quart-Trio app: blueprints, error envelope, nothing else. Everything it needs comes in as `ApiServices`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import structlog
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from app.api import chat, credits, models
from app.api.access_log import AccessLog
from app.api.exchange import SENT, Exchange, ExchangeRules, current_exchange
from app.api.services import ApiServices
from app.core.errors import Problem

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AppRules:
    """What the app is built with besides its services."""

    exchange: ExchangeRules = field(default_factory=ExchangeRules)
    access_log: AccessLog | None = None


def create_app(services: ApiServices, rules: AppRules | None = None) -> QuartTrio:
    """The app, ready to be served. It owns no task and no resource."""
    rules = rules or AppRules()
    app = QuartTrio(__name__, static_folder=None)
    app.asgi_http_class = Exchange
    app.config.update(
        EXCHANGE_RULES=rules.exchange, ACCESS_LOG=rules.access_log, MAX_CONTENT_LENGTH=None, RESPONSE_TIMEOUT=None
    )
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    for make in (chat.blueprint, models.blueprint, credits.blueprint):
        app.register_blueprint(make(services))

    @app.get("/healthz")
    async def alive() -> Any:
        return {"status": "ok"}

    @app.errorhandler(Problem)
    async def refuse(problem: Problem) -> Response:
        await current_exchange(request).refuse(problem)
        return SENT

    @app.errorhandler(HTTPException)
    async def refuse_path(error: HTTPException) -> Response:
        exchange = current_exchange(request)
        await exchange.refuse(_path_problem(error, exchange))
        return SENT

    @app.errorhandler(Exception)
    async def crash(error: Exception) -> Response:
        exchange = current_exchange(request)
        log.exception("request.crashed", request_id=exchange.request_id, exc_info=error)
        if not exchange.started:
            await exchange.refuse(internal_error())
        return SENT

    return app


def internal_error() -> Problem:
    return Problem(
        "internal_error", "The gateway failed at this request. Nothing was charged; tell support the request id."
    )


def _path_problem(error: HTTPException, exchange: Exchange) -> Problem:
    method, path = exchange.scope["method"], exchange.scope["path"][:200]
    if error.code == 405:
        allow = ", ".join(sorted(error.valid_methods or ())) if hasattr(error, "valid_methods") else ""
        return Problem("method_not_allowed", f"{path} does not take {method}.", headers={"Allow": allow})
    return Problem("not_found", f"There is no {method} {path} here. The API lives under /v1.")
