"""One call of another kind than chat: which route is tried when, and what each way of ending it costs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import pytest
import structlog
import trio

from app.core.billing import Bill
from app.core.errors import Problem, UpstreamError
from app.observability.facts import CallFacts
from app.observability.observer import Observer
from app.providers.breaker import Breakers
from app.providers.deadlines import ReaderLate
from app.storage.catalog import stored_digest
from app.storage.database import EVERY_TENANT
from app.usecases.models import Models, seed
from app.usecases.routed import Done, Order, Progress, RoutedServices, run_routed
from app.usecases.routed_plan import RoutedPlan, plan_for
from catalog.catalog import Catalog
from catalog.routing import Target
from tests.usecases.spending import FINAL, Desk

HOLD = 100
GOOD = Bill("completed", 60, "provider_usage", "B17")
LEFT = Bill("cancelled", 25, "usage_snapshot", "B4")
AGAIN = UpstreamError("upstream_error", "Broken.", retry="once", breaker="count", status=500)
NEXT = UpstreamError("provider_error", "Away.", retry="other", breaker="open_provider", status=401)
CROWDED = UpstreamError("rate_limit_exceeded", "Busy.", retry="other", breaker="rest", retry_after_s=7, status=429)
FINAL_SAY = UpstreamError("content_policy_violation", "No.", status=400)

Act = Callable[[Progress], Awaitable[None]]


@dataclass
class Routes:
    """Three routes, and what happens at each attempt, in turn; an act that is an error is raised."""

    acts: list[Act | Exception]
    asked: list[str] = field(default_factory=list)

    async def attempt(self, target: Target, progress: Progress) -> tuple[str, Bill]:
        self.asked.append(target.provider)
        await trio.lowlevel.checkpoint()
        act = self.acts[len(self.asked) - 1]
        if isinstance(act, Exception):
            raise act
        await act(progress)
        return target.provider, GOOD


async def answer(_progress: Progress) -> None:
    await trio.lowlevel.checkpoint()


async def hang(_progress: Progress) -> None:
    await trio.sleep_forever()


async def accept_and_hang(progress: Progress) -> None:
    progress.owes(LEFT)
    await trio.sleep_forever()


async def accept_and_break(progress: Progress) -> None:
    progress.owes(LEFT)
    await trio.lowlevel.checkpoint()
    raise NEXT


async def begin_and_break(progress: Progress) -> None:
    progress.commit()
    await trio.lowlevel.checkpoint()
    raise AGAIN


async def accept_and_dawdle(progress: Progress) -> None:
    progress.owes(LEFT)
    await trio.lowlevel.checkpoint()
    raise ReaderLate


async def run(
    desk: Desk, acts: list[Act | Exception], words: tuple[str, ...] = (), *, free_when_left: bool = False
) -> tuple[Done[Any], Routes]:
    routes = Routes(acts)
    catalog = Catalog.load()
    digest = await desk.db.write(EVERY_TENANT, lambda t: (seed(t, catalog), stored_digest(t))[1])
    models = Models(desk.db, catalog, digest)
    services = RoutedServices(desk.meter, models, Breakers(), Observer())
    facts = CallFacts("req_1", "/v1/search", trio.current_time(), "search", free_when_left=free_when_left)
    order = Order(HOLD, facts, words)
    done = await run_routed(services, desk.principal, plan(desk, models), order, routes.attempt, itemgetter(1))
    return done, routes


def plan(desk: Desk, models: Models) -> RoutedPlan:
    rows = [models.catalog.models[f"search:{name}"] for name in ("serper", "exa", "brave")]
    return plan_for(models, desk.principal, rows, available=lambda _: True)


async def refused(desk: Desk, acts: list[Act | Exception]) -> Problem:
    with pytest.raises(Problem) as raised:
        await run(desk, acts)
    assert await desk.call(*FINAL) == ("voided", "failed", 0, "none", "B6")
    return raised.value


async def test_a_good_answer_is_charged_before_it_is_handed_out(desk: Desk) -> None:
    done, _ = await run(desk, [answer])
    assert (done.ending.charge, done.served.provider, done.served.attempts) == (60, "serper", 1)
    assert await desk.call(*FINAL) == ("posted", "completed", 60, "provider_usage", "B17")


@pytest.mark.parametrize(
    ("acts", "asked"),
    [
        ([AGAIN, answer], ["serper", "serper"]),
        ([AGAIN, AGAIN, answer], ["serper", "serper", "exa"]),
        ([NEXT, answer], ["serper", "exa"]),
        ([CROWDED, NEXT, answer], ["serper", "exa", "brave"]),
    ],
)
async def test_a_failure_is_followed_as_it_says(desk: Desk, acts: list[Act | Exception], asked: list[str]) -> None:
    done, routes = await run(desk, acts)
    assert (routes.asked, done.answer[0], done.ending.charge) == (asked, asked[-1], 60)


async def test_a_failure_that_is_final_ends_the_call(desk: Desk) -> None:
    problem = await refused(desk, [FINAL_SAY])
    assert (problem.code, problem.headers["X-CM-Attempts"]) == ("content_policy_violation", "1")


@pytest.mark.parametrize(
    ("acts", "code"),
    [
        ([CROWDED, CROWDED, CROWDED], "rate_limit_exceeded"),
        ([CROWDED, NEXT, CROWDED], "provider_error"),
        ([NEXT, AGAIN, AGAIN, CROWDED], "upstream_error"),
    ],
)
async def test_the_client_is_told_to_wait_only_when_every_route_is_throttled(
    desk: Desk, acts: list[Act | Exception], code: str
) -> None:
    assert (await refused(desk, acts)).code == code


async def test_no_other_route_is_tried_once_the_client_has_seen_something(desk: Desk) -> None:
    assert (await refused(desk, [begin_and_break])).code == "upstream_error"


async def test_a_bug_of_ours_is_free(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError):
        await run(desk, [ZeroDivisionError()])
    assert await desk.call(*FINAL) == ("voided", "failed", 0, "none", "B6")


@pytest.mark.parametrize(
    ("acts", "ending"),
    [
        ([hang], ("voided", "cancelled", 0, "none", "B2")),
        ([accept_and_hang], ("posted", "cancelled", 25, "usage_snapshot", "B4")),
    ],
)
async def test_a_client_that_leaves_owes_what_the_attempt_said(
    desk: Desk, acts: list[Act | Exception], ending: tuple[Any, ...]
) -> None:
    with trio.move_on_after(0.2) as scope:
        await run(desk, acts)
    assert scope.cancelled_caught
    assert await desk.call(*FINAL) == ending


async def test_what_a_bot_gives_up_is_free_whatever_the_attempt_said(desk: Desk) -> None:
    with trio.move_on_after(0.2):
        await run(desk, [accept_and_hang], free_when_left=True)
    assert await desk.call(*FINAL) == ("voided", "cancelled", 0, "none", "B2")


async def test_what_a_failed_attempt_said_is_not_owed_in_the_next(desk: Desk) -> None:
    with trio.move_on_after(0.2):
        await run(desk, [accept_and_break, hang])
    assert await desk.call(*FINAL) == ("voided", "cancelled", 0, "none", "B2")


async def test_an_answer_that_is_not_taken_in_is_charged_as_far_as_it_went(desk: Desk) -> None:
    with pytest.raises(Problem, match="read too slowly"):
        await run(desk, [accept_and_dawdle])
    assert await desk.call(*FINAL) == ("posted", "cancelled", 25, "usage_snapshot", "B4")


async def test_no_word_of_the_client_reaches_the_log(desk: Desk) -> None:
    quoting = UpstreamError("content_policy_violation", "No.", detail="refused: wombats in the garden")
    with structlog.testing.capture_logs() as lines, pytest.raises(Problem):
        await run(desk, [quoting], words=("wombats garden",))
    assert [line["detail"] for line in lines if line["event"] == "call.attempt_failed"] == ["refused: *** in the ***"]
