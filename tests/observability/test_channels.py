"""The channels as an operator sees them: what waits in the database, and what this process has made of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

import pytest

from app.observability.channels import REASONS
from app.observability.metrics import Metrics
from app.observability.readings import Sources
from app.observability.stats import ChannelStats
from app.storage.database import EVERY_TENANT, Database, Transaction
from app.usecases.channel_watch import ChannelWatch
from tests.books import open_books
from tests.databases import ON_BOTH
from tests.observability.facts import a_request
from tests.observability.reading import Page
from tests.storage.making import DAY_0, make_tenant

SECOND = 1_000_000
NOW = DAY_0 + 3 * 86_400 * SECOND
META = "/api/v1/webhooks/whatsapp/<number_id>"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_books(database_url) as opened:
        yield opened


def insert(table: str, rows: Sequence[Mapping[str, object]], db: Transaction) -> None:
    for row in rows:
        places = ", ".join("?" * len(row))
        db.do(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())  # noqa: S608


async def look(db: Database) -> Page:
    """What the page says of the channels, looked at `NOW` and shown ten seconds later."""
    watch = ChannelWatch(db, clock=lambda: NOW)
    await watch.look()
    return await Page.of_metrics(Metrics(), Sources(channels=watch.stats, clock=lambda: NOW + 10 * SECOND))


@ON_BOTH
async def test_an_empty_house_has_nothing_waiting(db: Database) -> None:
    page = await look(db)
    for name in ("inbox_pending", "inbox_lag_seconds", "send_oldest_age_seconds", "numbers_in_error"):
        assert page[f"callmissed_{name}", ()] == 0
    assert page.value("callmissed_channels_age_seconds") == 10


@ON_BOTH
async def test_the_inbox_counts_what_is_not_sorted_and_lags_by_what_could_be(db: Database) -> None:
    tenant = await db.write(EVERY_TENANT, lambda t: make_tenant(t, credit=1))

    def row(key: str, state: str, due_us: int) -> dict[str, object]:
        return {
            **{"tenant_id": tenant, "number_id": "n", "event_key": key, "seq": 1, "kind": "message", "body": "{}"},
            **{"received_at": DAY_0, "state": state, "due_at": due_us},
        }

    later = [row("c", "pending", NOW + 600 * SECOND)]
    await db.write(EVERY_TENANT, partial(insert, "inbox", [row("a", "done", DAY_0), row("b", "dead", DAY_0), *later]))
    page = await look(db)
    assert (page.value("callmissed_inbox_pending"), page.value("callmissed_inbox_lag_seconds")) == (1, 0)
    await db.write(EVERY_TENANT, partial(insert, "inbox", [row("d", "pending", NOW - 2 * SECOND)]))
    page = await look(db)
    assert (page.value("callmissed_inbox_pending"), page.value("callmissed_inbox_lag_seconds")) == (2, 12)


@ON_BOTH
async def test_lanes_are_due_overdue_or_running(db: Database) -> None:
    tenant = await db.write(EVERY_TENANT, lambda t: make_tenant(t, credit=1))
    lanes = [(None, 0), (NOW + SECOND, 0), (NOW - SECOND, 0), (NOW - 6 * SECOND, 0), (NOW - 60 * SECOND, NOW + SECOND)]
    rows = [
        {"tenant_id": tenant, "conversation_id": f"c{number}", "due_at": due, "lease_until": lease}
        for number, (due, lease) in enumerate(lanes)
    ]
    await db.write(EVERY_TENANT, partial(insert, "lanes", rows))
    page = await look(db)
    assert [page.value("callmissed_lanes", state=state) for state in ("due", "overdue", "running")] == [2, 1, 1]


@ON_BOTH
async def test_sends_are_counted_by_state_until_the_provider_has_them(db: Database) -> None:
    tenant = await db.write(EVERY_TENANT, lambda t: make_tenant(t, credit=1))
    states = ("queued", "queued", "sending", "unknown", "accepted", "failed", "dropped", "read")
    rows = [
        {
            **{"tenant_id": tenant, "id": f"s{number}", "seq": (NOW - 30 * SECOND) * 1000 + number, "number_id": "n"},
            **{"contact_id": "c", "conversation_id": "v", "message_id": "m", "turn_id": "t", "part": number},
            **{"origin": "reply", "kind": "text", "body": "{}", "state": state, "due_at": NOW + 99 * SECOND},
            **{"created_at": NOW, "updated_at": NOW},
        }
        for number, state in enumerate(states)
    ]
    await db.write(EVERY_TENANT, partial(insert, "sends", rows))
    page = await look(db)
    assert [page.value("callmissed_sends", state=state) for state in ("queued", "sending", "unknown")] == [2, 1, 1]
    assert page.value("callmissed_send_oldest_age_seconds") == 40


@ON_BOTH
async def test_dead_letters_are_those_of_a_day_that_nobody_has_tried_again(db: Database) -> None:
    tenant = await db.write(EVERY_TENANT, lambda t: make_tenant(t, credit=1))
    letters = [(tenant, NOW, None), ("", NOW, None), ("", NOW, None), (tenant, NOW, NOW), (tenant, DAY_0, None)]
    rows = [
        {
            **{"tenant_id": whose, "id": f"d{number}", "provider": "meta", "reason": "r", "body": "{"},
            **{"received_at": received, "replayed_at": replayed},
        }
        for number, (whose, received, replayed) in enumerate(letters)
    ]
    await db.write(EVERY_TENANT, partial(insert, "dead_letters", rows))
    page = await look(db)
    assert page.value("callmissed_dead_letters", whose="tenant") == 1
    assert page.value("callmissed_dead_letters", whose="nobody") == 2


@ON_BOTH
async def test_numbers_in_error_are_counted(db: Database) -> None:
    tenant = await db.write(EVERY_TENANT, lambda t: make_tenant(t, credit=1))
    rows = [
        {"tenant_id": tenant, "id": state, "provider": "meta", "account": state, "state": state, "created_at": DAY_0}
        | {"updated_at": DAY_0}
        for state in ("unchecked", "connected", "error")
    ]
    await db.write(EVERY_TENANT, partial(insert, "numbers", rows))
    assert (await look(db)).value("callmissed_numbers_in_error") == 1


async def test_before_the_first_look_nothing_is_said() -> None:
    page = await Page.of_metrics(Metrics(), Sources(channels=ChannelStats()))
    assert "callmissed_inbox_pending" not in page.names()


@pytest.mark.parametrize(
    ("state", "reason", "shown"),
    [
        ("answered", "", ""),
        ("superseded", "the user has written more", "more_written"),
        ("dropped", "a person has taken over", "taken_over"),
        ("dropped", "the bot was switched off", "switched_off"),
        ("failed", "provider_error", "provider"),
        ("failed", "upstream_error", "provider"),
        ("failed", "model_not_found", "refused"),
        ("failed", "no_credits", "no_credits"),
        ("failed", "late", "late"),
        ("dropped", "Ravi's own words", "other"),
    ],
)
async def test_a_turn_is_counted_by_its_end_and_a_word_of_a_closed_set(state: str, reason: str, shown: str) -> None:
    metrics = Metrics()
    metrics.channels.turn_ended(state, reason, {"waited": 1300, "total": 2500, "tea": 1})
    page = await Page.of_metrics(metrics)
    assert page.value("callmissed_turns_total", state=state, reason=shown) == 1
    assert shown in REASONS[state] | {"other"}
    assert page.value("callmissed_turn_seconds_sum", part="total") == 2.5
    assert page.value("callmissed_turn_seconds_count", part="model") == 0


async def test_webhooks_are_timed_by_provider_and_status_and_other_routes_are_not() -> None:
    metrics = Metrics()
    for endpoint, status in ((META, 200), (META, 401), ("/api/v1/webhooks/<webhook_id>", 200), ("/v1/models", 200)):
        metrics.request_ended(a_request(endpoint=endpoint, status=status))
    page = await Page.of_metrics(metrics)
    counted = {labels: n for (name, labels), n in page.items() if name == "callmissed_webhook_duration_seconds_count"}
    assert {tuple(value for _, value in labels): n for labels, n in counted.items()} == {
        ("meta", "200"): 1,
        ("meta", "401"): 1,
        ("twilio", "200"): 0,
    }


async def test_attempts_to_send_are_counted_by_what_came_of_them() -> None:
    metrics = Metrics()
    metrics.channels.send_attempted("meta", "accepted", 0.2)
    metrics.channels.send_attempted("twilio", "refused_window", 0.1)
    page = await Page.of_metrics(metrics)
    assert page.value("callmissed_send_attempts_total", provider="meta", outcome="accepted") == 1
    assert page.value("callmissed_send_attempts_total", provider="twilio", outcome="refused_window") == 1
    assert page.value("callmissed_send_attempts_total", provider="meta", outcome="unknown") == 0
    assert page.value("callmissed_send_duration_seconds_sum", provider="meta") == 0.2
