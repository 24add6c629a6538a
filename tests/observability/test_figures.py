"""What a gateway that has answered one request of each kind shows: every metric there is, and the right figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import trio

from app.observability import names
from scripts.simulator import server as simulator
from scripts.simulator.book import Book
from tests.e2e.calling import CHAT, DONE, question, until
from tests.observability.house import Watcher, open_watched

MODEL = "kimi-k2.6"
ENDED = {"endpoint": CHAT, "model": MODEL}
PROVIDER = {"provider": "cloudflare"}
LOCAL = "local/simulated-small"


async def hang_up_in_the_middle(watcher: Watcher) -> None:
    async with watcher.caller.stream(question("[mock=slow_tokens]")) as stream:
        async for event in stream:
            if event.payload != DONE and event.delta.get("content"):
                return


async def test_after_a_call_every_metric_is_there(watcher: Watcher) -> None:
    await watcher.caller.http.post(CHAT, json=question("[tokens=3]", MODEL))
    await watcher.caller.http.post(CHAT, json=question("hi", "no-such-model"))
    await hang_up_in_the_middle(watcher)
    expected = {family.name for family in names.FAMILIES} | set(names.PROCESS)
    page = await watcher.page_once(lambda page: page.names() >= expected)
    assert page.names() == expected


async def test_an_answer_as_json_and_one_as_a_stream_are_counted_once_each(watcher: Watcher) -> None:
    await watcher.caller.http.post(CHAT, json=question("[tokens=3]", MODEL))
    await watcher.caller.events("[tokens=4]", MODEL)
    page = await watcher.page_once(
        lambda page: page.value("callmissed_requests_total", endpoint=CHAT, status="200") == 2
    )
    assert page.value("callmissed_calls_total", outcome="completed", **ENDED) == 2
    assert page.value("callmissed_settlements_total", basis="provider_usage") == 2
    assert page.value("callmissed_upstream_attempts_total", **{"class": "ok"}, **PROVIDER) == 2
    assert page.value("callmissed_tokens_total", model=MODEL, direction="output") == 3 + 4
    assert page.value("callmissed_credits_charged_total", model=MODEL) > 0
    assert page.value("callmissed_time_to_first_token_seconds_count", model=MODEL, **PROVIDER) == 2
    assert page.value("callmissed_overhead_seconds_count", endpoint=CHAT) == 2
    assert page.value("callmissed_database_batch_jobs_sum") >= 4


async def test_our_own_part_of_a_slow_answer_is_small(watcher: Watcher) -> None:
    await watcher.caller.events("[tokens=4] [mock=slow_tokens]", MODEL)
    page = await watcher.page_once(lambda page: page.value("callmissed_overhead_seconds_count", endpoint=CHAT))
    took_s = page.value("callmissed_request_duration_seconds_sum", endpoint=CHAT)
    ours_s = page.value("callmissed_overhead_seconds_sum", endpoint=CHAT)
    assert took_s > 0.5
    assert 0 < ours_s < took_s / 5


async def test_a_refusal_is_counted_by_its_code_and_asks_no_provider(watcher: Watcher) -> None:
    await watcher.caller.http.post(CHAT, json=question("hi", "no-such-model"))
    page = await watcher.page_once(lambda page: page.value("callmissed_refusals_total", code="model_not_found"))
    assert page.value("callmissed_requests_total", endpoint=CHAT, status="404") == 1
    assert not {name for name, _ in page if name.startswith("callmissed_upstream_attempts")}


async def test_a_client_that_hangs_up_is_counted_with_the_time_until_its_upstream_was_closed(watcher: Watcher) -> None:
    await hang_up_in_the_middle(watcher)
    page = await watcher.page_once(lambda page: page.value("callmissed_upstream_close_lag_seconds_count") == 1)
    assert page.value("callmissed_cancels_total", phase="mid-answer") == 1
    assert page.value("callmissed_calls_total", outcome="cancelled", **ENDED) == 1
    assert page.value("callmissed_upstream_attempts_total", **{"class": "left"}, **PROVIDER) == 1
    assert 0 < page.value("callmissed_upstream_close_lag_seconds_sum") < 1


async def test_a_provider_that_fails_is_counted_for_each_attempt(watcher: Watcher) -> None:
    await watcher.caller.http.post(CHAT, json=question("[mock=5xx]", MODEL))
    page = await watcher.page_once(lambda page: page.value("callmissed_calls_total", outcome="failed", **ENDED))
    assert page.value("callmissed_upstream_attempts_total", **{"class": "provider"}, **PROVIDER) == 2
    assert page.value("callmissed_settlements_total", basis="none") == 1


async def test_a_model_without_an_entry_and_a_path_without_a_route_are_other(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        url = await nursery.start(partial(simulator.serve, book=Book()))
        async with open_watched(tmp_path, self_hosted_base_url=f"{url}/local/v1") as watcher:

            async def is_listed() -> bool:
                return (await watcher.caller.http.get(f"/v1/models/{LOCAL}")).status_code == 200

            await until(is_listed)
            await watcher.caller.http.post(CHAT, json=question("[tokens=1]", LOCAL))
            await watcher.caller.http.get("/no/such/path")
            page = await watcher.page_once(
                lambda page: page.value("callmissed_requests_total", endpoint="other", status="404")
            )
        nursery.cancel_scope.cancel()
    assert page.value("callmissed_calls_total", endpoint=CHAT, model="other", outcome="completed") == 1


async def test_a_route_with_a_variable_is_counted_by_its_rule(watcher: Watcher) -> None:
    await watcher.caller.http.get(f"/v1/models/{MODEL}")
    rule = "/v1/models/<path:model_id>"
    await watcher.page_once(lambda page: page.value("callmissed_requests_total", endpoint=rule, status="200") == 1)


async def test_a_key_and_a_tenant_are_nowhere_on_the_page(watcher: Watcher) -> None:
    await watcher.caller.http.post(CHAT, json=question("wombat", MODEL, user="wombat"))
    text = (await watcher.get("/metrics")).text
    customer = watcher.caller.house.customer
    assert not [each for each in (customer.tenant_id, customer.key_id, customer.key[:8], "wombat") if each in text]
