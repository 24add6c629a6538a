"""The official Python SDKs, blocking and async, with their answers' types checked, drive every route that they know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import pytest
import trio
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.api.routes import AUTHENTICATED, ROUTES, make_app
from tests.e2e.calling import Caller
from tests.e2e.sdk_driving import Talk, drive, drive_async
from tests.e2e.sdk_talks import ANTHROPIC, OPENAI, UNCHECKED, Route

#: What the Anthropic SDK is pointed at, and where it asks then.
BASES: Final = {"": "/v1", "/v1": "/v1/v1", "/anthropic": "/anthropic/v1"}
#: Routes that a key opens and for which neither SDK has a method.
OURS_ALONE: Final = {("GET", "/v1/credits"), ("GET", "/v1/generation"), ("GET", "/v1/images/history")}


@dataclass(frozen=True, slots=True)
class Row:
    """One talk: the SDK's two clients, what they are pointed at, and the routes that it must ask."""

    blocking: Callable[..., Any]
    asynchronous: Callable[..., Any]
    base: str
    talk: Talk
    routes: frozenset[Route]


ROWS: Final = {
    **{
        f"openai {talk.__name__}": Row(OpenAI, AsyncOpenAI, "/v1", talk, frozenset(routes))
        for talk, routes in OPENAI.items()
    },
    **{
        f"anthropic{base} {talk.__name__}": Row(
            Anthropic, AsyncAnthropic, base, talk, frozenset((method, prefix + path) for method, path in routes)
        )
        for base, prefix in BASES.items()
        for talk, routes in ANTHROPIC.items()
    },
}


def driven() -> set[Route]:
    return set().union(*(row.routes for row in ROWS.values()))


def test_every_route_of_v1_that_a_key_opens_is_driven_or_is_ours_alone() -> None:
    """The billable ones are in test_billable_coverage."""
    opened_by_a_key = {route for route in AUTHENTICATED if not route[1].startswith("/api/")}
    assert opened_by_a_key - driven() == OURS_ALONE


def test_no_row_claims_a_route_that_does_not_exist() -> None:
    assert driven() <= set(ROUTES)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning:tests.e2e.sdk_talks")  # translations, says the SDK
@pytest.mark.parametrize("name", ROWS)
async def test_the_blocking_sdk_reads_what_it_expects(caller: Caller, name: str) -> None:
    row = ROWS[name]

    def run() -> list[httpx2.Request]:
        requests: list[httpx2.Request] = []
        with (
            httpx2.Client(event_hooks={"request": [requests.append]}) as http,
            row.blocking(http_client=http, **options(caller, row)) as client,
        ):
            drive(client, row.talk)
        return requests

    assert asked(await trio.to_thread.run_sync(run)) == row.routes


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning:tests.e2e.sdk_talks")
@pytest.mark.parametrize("name", ROWS)
async def test_the_async_sdk_reads_the_same(caller: Caller, name: str) -> None:
    row = ROWS[name]

    async def run() -> list[httpx2.Request]:
        requests: list[httpx2.Request] = []

        async def note(request: httpx2.Request) -> None:
            requests.append(request)

        async with (
            httpx2.AsyncClient(event_hooks={"request": [note]}) as http,
            row.asynchronous(http_client=http, **options(caller, row)) as client,
        ):
            await drive_async(client, row.talk)
        return requests

    assert asked(await trio.to_thread.run_sync(asyncio.run, run())) == row.routes


def options(caller: Caller, row: Row) -> dict[str, Any]:
    return {
        "api_key": caller.house.customer.key,
        "base_url": caller.house.url + row.base,
        "max_retries": 0,
        "_strict_response_validation": row.talk not in UNCHECKED,
    }


def asked(requests: Iterable[httpx2.Request]) -> set[Route]:
    """The gateway's own routes that these requests came to."""
    routes = make_app().url_map.bind("gateway")
    matched = [
        (request.method, routes.match(urlsplit(str(request.url)).path, request.method, return_rule=True)[0])
        for request in requests
    ]
    return {(method, rule.rule) for method, rule in matched}
