"""The Quart-Trio app: blueprints, error envelope, nothing else. Everything it needs comes in as `ApiServices`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.api import (
    accounts,
    audio,
    bots,
    channel_hooks,
    channel_media,
    channel_settings,
    chat,
    conversations,
    credits,
    dead_letters,
    docs,
    embeddings,
    health,
    images,
    keys,
    messages,
    models,
    numbers,
    responses,
    search,
    status,
    team,
    usage,
    webhooks,
    whatsapp,
)
from app.api.access_log import AccessLog
from app.api.exchange import Exchange, ExchangeRules
from app.api.platform import Platform
from app.api.routes import SENT, Handler, current_exchange
from app.api.services import ApiServices
from app.core.errors import Problem
from app.observability.observer import Observer

#: Each area of the platform API, as a function of the services.
PLATFORM: Final[tuple[Callable[[ApiServices], Platform], ...]] = (
    accounts.platform,
    team.platform,
    bots.platform,
    conversations.platform,
    keys.platform,
    credits.platform,
    webhooks.platform,
    status.platform,
    usage.platform,
    dead_letters.platform,
    whatsapp.platform,
    numbers.platform,
    channel_settings.platform,
)


@dataclass(frozen=True, slots=True)
class AppRules:
    """What the app is built with besides its services."""

    exchange: ExchangeRules = field(default_factory=ExchangeRules)
    access_log: AccessLog | None = None
    observer: Observer = field(default_factory=Observer)


def create_app(services: ApiServices, rules: AppRules | None = None) -> QuartTrio:
    """The app, ready to be served. It owns no task and no resource."""
    rules = rules or AppRules()
    app = QuartTrio(__name__, static_folder=None)
    app.asgi_http_class = Exchange
    app.config.update(
        EXCHANGE_RULES=rules.exchange,
        ACCESS_LOG=rules.access_log,
        OBSERVER=rules.observer,
        MAX_CONTENT_LENGTH=None,
        RESPONSE_TIMEOUT=None,
    )
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    areas = [area(services) for area in PLATFORM]
    direct: dict[tuple[str, str], Handler] = {}
    uploads: set[tuple[str, str]] = set()
    for routes in (
        health.routes(services.health),
        chat.routes(services),
        messages.routes(services),
        models.routes(services),
        credits.routes(services),
        search.routes(services),
        images.routes(services),
        embeddings.routes(services),
        audio.routes(services),
        responses.routes(services),
        status.routes(),
        channel_hooks.routes(services),
        channel_media.routes(services),
        *(area.routes for area in areas),
        docs.routes(operation for area in areas for operation in area.operations),
    ):
        app.register_blueprint(routes.blueprint)
        direct.update(routes.direct)
        uploads |= routes.uploads
    app.config["DIRECT_ROUTES"] = direct
    app.config["UPLOAD_ROUTES"] = frozenset(uploads)

    @app.errorhandler(Exception)
    async def fail(error: Exception) -> Response:
        await current_exchange().fail(_path_problem(error) if isinstance(error, HTTPException) else error)
        return SENT

    return app


def _path_problem(error: HTTPException) -> Problem:
    method, path = request.method, request.path[:200]
    if isinstance(error, MethodNotAllowed):
        allow = ", ".join(sorted(error.valid_methods or ()))
        return Problem("method_not_allowed", f"{path} does not take {method}.", headers={"Allow": allow})
    return Problem("not_found", f"There is no {method} {path} here. See /docs for what there is.")
