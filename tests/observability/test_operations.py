"""Where monitoring may look: metrics by port or token, readiness through the drain, books that are broken."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from app.main import run_gateway
from app.storage.database import EVERY_TENANT, open_database
from app.storage.engines import open_engine
from app.storage.migrations import migrate
from app.usecases.books import BooksWatch
from tests.databases import ON_BOTH, elsewhere
from tests.e2e.calling import question
from tests.house import add_customer, open_ground
from tests.observability.house import BEARER, TOKEN, Watcher, free_port, open_watched
from tests.observability.reading import Page

VIOLATIONS = ("callmissed_ledger_violations", ())


async def test_the_token_opens_metrics_on_the_main_port(watcher: Watcher) -> None:
    reply = await watcher.caller.http.get("/metrics", headers=BEARER)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert VIOLATIONS[0] in Page.of(reply.text).names() or "callmissed_holds_open" in reply.text


@pytest.mark.parametrize(
    "sent", ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer é"]
)
async def test_anything_else_does_not(watcher: Watcher, sent: str) -> None:
    reply = await watcher.caller.http.get("/metrics", headers={b"authorization": sent.encode("latin1")})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_a_customer_s_key_does_not_open_metrics(watcher: Watcher) -> None:
    assert (await watcher.caller.http.get("/metrics")).status_code == 401


async def test_without_a_token_there_are_no_metrics_on_the_main_port(tmp_path: Path) -> None:
    async with open_watched(tmp_path, metrics_token="") as watcher:
        reply = await watcher.caller.http.get("/metrics", headers=BEARER)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
        assert (await watcher.get("/metrics")).status_code == 200


async def test_without_a_port_nothing_listens(tmp_path: Path) -> None:
    port = free_port()
    async with open_watched(tmp_path, metrics_port=0):
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", port)


async def test_the_port_of_monitoring_has_its_three_pages_and_no_other(watcher: Watcher) -> None:
    statuses = {
        path: (await watcher.get(path)).status_code for path in ("/metrics", "/readyz", "/healthz", "/v1/models")
    }
    assert statuses == {"/metrics": 200, "/readyz": 200, "/healthz": 200, "/v1/models": 404}


async def test_openmetrics_is_given_to_who_asks_for_it(watcher: Watcher) -> None:
    reply = await watcher.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.text.endswith("# EOF\n")


async def test_a_worker_s_port_is_its_number_above_the_setting(tmp_path: Path) -> None:
    port = free_port()
    async with open_ground(tmp_path, metrics_port=port) as ground, trio.open_nursery() as nursery:
        shutdown = trio.Event()
        await nursery.start(partial(run_gateway, ground.settings, shutdown=shutdown, hurry=trio.Event(), worker=2))
        await (await trio.open_tcp_stream("127.0.0.1", port + 2)).aclose()
        shutdown.set()


async def test_a_house_in_order_is_ready_and_needs_no_key_to_say_so(watcher: Watcher) -> None:
    reply = await watcher.caller.http.get("/readyz", headers={"authorization": ""})
    assert (reply.status_code, reply.json()["status"]) == (200, "ready")
    assert set(reply.json()["checks"]) == {"database", "catalog", "loop", "drain"}


async def test_a_house_that_drains_says_so_at_once_and_shows_its_last_figures(watcher: Watcher) -> None:
    async with watcher.caller.stream(question("[mock=slow_tokens]")) as stream:
        assert stream.status == 200
        watcher.caller.house.shutdown.set()
        reply = await watcher.get("/readyz")
        assert (reply.status_code, reply.json()["checks"]["drain"]["status"]) == (503, "draining")
        assert (await watcher.get("/healthz")).status_code == 200
        assert (await watcher.page()).value("callmissed_requests_active") == 1


async def test_books_that_are_broken_are_seen_by_a_gateway_that_starts(tmp_path: Path) -> None:
    port = free_port()
    async with open_ground(tmp_path, metrics_port=port) as ground, trio.open_nursery() as nursery:
        elsewhere(ground.settings.database_url, lambda db: db.do("UPDATE tenants SET balance = balance + 1"))
        shutdown = trio.Event()
        urls = await nursery.start(partial(run_gateway, ground.settings, shutdown=shutdown, hurry=trio.Event()))
        assert urls
        watcher = Watcher(None, port)  # type: ignore[arg-type]  # nobody calls
        page = await watcher.page_once(lambda page: VIOLATIONS in page)
        assert page[VIOLATIONS] == 1
        shutdown.set()


@ON_BOTH
async def test_the_watch_names_a_tenant_whose_row_was_changed_and_forgets_it_when_it_is_mended(
    database_url: str,
) -> None:
    engine = await open_engine(database_url)
    async with open_database(engine) as db:
        await migrate(db)
        good, bad = [await db.write(EVERY_TENANT, partial(add_customer, name=name)) for name in ("Good", "Bad")]
        watch = BooksWatch(db)
        await watch.go_round()
        assert (watch.stats.broken, watch.stats.rounds) == (set(), 1)
        change = "UPDATE tenants SET balance = balance + ? WHERE id = ?"
        elsewhere(database_url, lambda db: db.do(change, 1, bad.tenant_id))
        await watch.go_round()
        assert watch.stats.broken == {bad.tenant_id}
        elsewhere(database_url, lambda db: db.do(change, -1, bad.tenant_id))
        await watch.go_round()
        assert (watch.stats.broken, good.tenant_id != bad.tenant_id) == (set(), True)


@ON_BOTH
async def test_the_watch_counts_holds_and_those_past_their_time(database_url: str) -> None:
    engine = await open_engine(database_url)
    async with open_database(engine) as db:
        await migrate(db)
        watch = BooksWatch(db, clock=lambda: 1000)
        await watch.count()
        assert (watch.stats.open, watch.stats.overdue, watch.stats.oldest_us) == (0, 0, 0)
        owner = await db.write(EVERY_TENANT, add_customer)
        for call_id, opened_us, expires_us in (("a", 300, 900), ("b", 400, 1100), ("c", 500, 1200)):
            _hold(database_url, owner.tenant_id, owner.key_id, (call_id, opened_us, expires_us))
        await watch.count()
        assert (watch.stats.open, watch.stats.overdue, watch.stats.oldest_us) == (3, 1, 300)


def _hold(url: str, tenant_id: str, key_id: str, times: tuple[str, int, int]) -> None:
    call_id, opened_us, expires_us = times
    elsewhere(
        url,
        lambda db: db.do(
            "INSERT INTO calls (tenant_id, id, key_id, request_id, endpoint, category, model, streamed, month, "
            "opened_at, hold, expires_at) VALUES (?, ?, ?, 'req', '/v1', 'llm', 'm', 0, '2026-11', ?, 0, ?)",
            *(tenant_id, call_id, key_id, opened_us, expires_us),
        ),
    )
