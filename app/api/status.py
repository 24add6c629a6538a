"""`/api/v1/status`, for everybody, and the documented paths that have no backend here: 501, so that nobody waits."""

from __future__ import annotations

from typing import Final

import trio

from app.api.exchange import Exchange
from app.api.platform import Platform
from app.api.routes import Handler, Routes
from app.api.services import ApiServices
from app.core.errors import Problem
from app.core.identity import now_us
from app.core.status import StatusPage, status_page
from app.core.times import iso_time

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
PAYMENTS: Final = "Payments are not set up here. Ask the operator for credits."
#: What has no backend, and what to say instead of it.
ABSENT: Final = {
    "/api/v1/payments": PAYMENTS,
    "/api/v1/invoices": PAYMENTS,
}


def platform(services: ApiServices) -> Platform:
    api = Platform("status", services)
    breakers, models = services.chat.breakers, services.chat.models
    providers = {*services.chat.providers, *services.search.providers}

    def is_up(provider: str, upstream: str) -> bool | None:
        if provider not in providers:
            return None
        return not breakers.wait_s(provider, upstream, trio.current_time())

    @api.add("GET", "/api/v1/status", public=True)
    async def show_status() -> StatusPage:
        """Show how the gateway and every model do, as this process sees it now."""
        ready, checks = await services.health.readiness.check()
        database = checks["checks"]["database"]["status"] == "ok"
        listed = models.catalog.listed
        return status_page(listed, is_up, ready=ready, database=database, checked_at=iso_time(now_us()))

    return api


def routes() -> Routes:
    api = Routes("absent")
    for path, message in ABSENT.items():
        for method in METHODS:
            api.add(method, path)(_absent(message))
            api.add(method, f"{path}/<path:rest>")(_absent(message))
    return api


def _absent(message: str) -> Handler:
    async def refuse(_exchange: Exchange, **_variables: str) -> None:
        raise Problem("not_implemented", message)

    return refuse
