"""Handlers that answer through the exchange. Quart routes them; fixed paths are also looked up directly.

For a fixed path Quart's request context, matching and response objects would be a tenth of a call's CPU and tell the
handler nothing that the exchange does not know (docs/decisions/0003-direct-routes.md). The URL map stays complete.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from quart import Blueprint, Response, request

from app.api.exchange import SCOPE_KEY, Exchange

Handler = Callable[..., Awaitable[None]]

#: What a view returns when its handler has answered through the exchange.
SENT: Final = Response("")


def current_exchange() -> Exchange:
    """The exchange of the request that Quart is handling."""
    exchange: Exchange = request.scope[SCOPE_KEY]  # type: ignore[typeddict-item]  # our own key
    return exchange


class Routes:
    """One surface's routes. `direct` maps (method, path) to the handler of each path without variables."""

    def __init__(self, name: str) -> None:
        self.blueprint = Blueprint(name, __name__)
        self.direct: dict[tuple[str, str], Handler] = {}
        #: Those of them whose handlers read the body themselves, with `Exchange.receive`.
        self.uploads: set[tuple[str, str]] = set()

    def add(self, method: str, path: str, *, upload: bool = False) -> Callable[[Handler], Handler]:
        """Decorate `async def handler(exchange, **path_variables)`. `upload`: on a path without variables only."""

        def register(handler: Handler) -> Handler:
            async def view(**variables: Any) -> Response:
                exchange = current_exchange()
                exchange.endpoint = path
                await handler(exchange, **variables)
                return SENT

            self.blueprint.add_url_rule(path, f"{method} {path}".replace(".", " "), view, methods=[method])
            if "<" not in path:
                self.direct[method, path] = handler
            if upload:
                self.uploads.add((method, path))
            return handler

        return register
