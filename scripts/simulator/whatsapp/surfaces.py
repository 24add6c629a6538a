"""Which path is answered by what: Meta's and Twilio's APIs, and the desks."""

from __future__ import annotations

import re
from typing import Final

from scripts.simulator.routes import Request
from scripts.simulator.script import Script
from scripts.simulator.whatsapp import desks, graph_routes, twilio_routes
from scripts.simulator.whatsapp.phones import Phones
from scripts.simulator.whatsapp.requests import Call, Route

SURFACES: Final = graph_routes.ROUTES + twilio_routes.ROUTES
DESKS: Final = desks.ROUTES

_PATTERNS: Final = tuple(
    (route, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route.path))) for route in SURFACES + DESKS
)


def find_route(request: Request) -> tuple[Route, dict[str, str]] | None:
    """The route this request is for, and what stands for the names in its path."""
    path = request.path
    for route, pattern in _PATTERNS:
        if route.method == request.method and (match := pattern.fullmatch(path)):
            return route, match.groupdict()
    return None


async def answer(phones: Phones, request: Request, found: tuple[Route, dict[str, str]]) -> Script:
    """What is to be played; a desk may wait for news first."""
    route, words = found
    return await route.answer(Call(phones, request, words))
