"""POST /v1/images/generations through OpenAI's own client, and over the wire what it would not send."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from scripts.simulator.media import PNG
from tests.e2e.calling import Caller, Json, open_caller

IMAGES = "/v1/images/generations"
CREDIT = 1_000_000
#: One model of each kind of request and reply, and what an image costs in micro-credits.
MODELS = {
    "flux-2-klein-9b": 10_000_000,
    "lucid-origin": 8_000_000,
    "phoenix-1.0": 10_000_000,
    "sdxl-lightning": 4_000_000,
    "flux-2-pro": 10_000_000,
    "nano-banana-2": 6_700_000,
}


@pytest.fixture
async def sdk(caller: Caller) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{caller.house.url}/v1", api_key=caller.house.customer.key, max_retries=0
    ) as client:
        yield client


def drawing(prompt: str = "a lamp", model: str = "lucid-origin", **fields: Any) -> Json:
    return {"model": model, "prompt": prompt, **fields}


@pytest.mark.parametrize(("model", "price_ucr"), MODELS.items())
async def test_every_kind_of_model_gives_the_sdk_its_image(
    caller: Caller, sdk: openai.AsyncOpenAI, model: str, price_ucr: int
) -> None:
    reply = await sdk.images.generate(model=model, prompt="a lamp", size="1024x1024", response_format="b64_json")
    assert reply.data is not None
    assert [(b64decode(image.b64_json or ""), image.revised_prompt) for image in reply.data] == [(PNG, None)]
    assert caller.books().charged == price_ucr


async def test_several_images_are_several_calls_under_one_hold(caller: Caller) -> None:
    reply = await caller.post(drawing(n=3, seed=7), IMAGES)
    assert (len(reply.json()["data"]), reply.json().keys()) == (3, {"created", "data"})
    assert sorted(record.body["seed"] for record in caller.upstream()) == [7, 8, 9]
    assert caller.rows("SELECT hold, charge, rule FROM calls") == [(24 * CREDIT, 24 * CREDIT, "B17")]
    receipt = await caller.receipt(reply.headers["x-generation-id"])
    assert (receipt["units"], receipt["prices"]) == ({"images": 3}, {"price": 0.08, "unit": "per_image"})


async def test_images_that_did_not_come_are_not_charged(caller: Caller) -> None:
    reply = await caller.post(drawing("a lamp [mock=fail_once:lamp]", n=3), IMAGES)
    assert (reply.status_code, len(reply.json()["data"])) == (200, 2)
    assert caller.books().charged == 2 * 8 * CREDIT


async def test_what_a_model_lacks_is_left_out_and_told(caller: Caller) -> None:
    reply = await caller.post(drawing(model="flux-2-klein-9b", negative_prompt="dark", steps=30), IMAGES)
    assert reply.headers["x-cm-dropped-params"] == "negative_prompt, steps"
    assert caller.upstream()[0].body == {"prompt": "a lamp", "width": "1024", "height": "1024"}


@pytest.mark.parametrize(
    ("fault", "status", "code", "tries"),
    [
        ("content_policy", 400, "content_policy_violation", 1),
        ("bad_request", 400, "invalid_request_error", 1),
        ("500", 502, "upstream_error", 2),
        ("empty_answer", 502, "upstream_error", 2),
        ("html_body", 502, "upstream_error", 2),
        ("eof_mid", 502, "upstream_error", 2),
        ("401", 503, "provider_error", 1),
        ("402", 503, "provider_error", 1),
    ],
)
@pytest.mark.parametrize("model", ["lucid-origin", "phoenix-1.0", "flux-2-pro"])
async def test_a_failure_is_told_in_our_words_and_is_free(
    caller: Caller, model: str, fault: str, status: int, code: str, tries: int
) -> None:
    reply = await caller.post(drawing(f"a lamp [mock={fault}]", model), IMAGES)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert (len(caller.upstream()), caller.books().charged) == (tries, 0)


@pytest.mark.parametrize(
    ("fields", "param"), [({"n": 5}, "n"), ({"size": "1x1"}, "size"), ({"response_format": "url"}, "response_format")]
)
async def test_a_bad_request_is_refused_before_anybody_is_asked(
    caller: Caller, fields: dict[str, Any], param: str
) -> None:
    reply = await caller.post(drawing(**fields), IMAGES)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "invalid_request_error", param)
    assert (caller.upstream(), caller.books().calls) == ([], 0)


@pytest.mark.parametrize(
    ("plan", "model", "status", "code"),
    [
        ("free", "flux-2-pro", 403, "model_not_available"),
        ("enterprise", "nano-banana-pro", 404, "model_not_found"),
        ("enterprise", "kimi-k2.6", 404, "model_not_found"),
    ],
)
async def test_a_model_that_may_not_draw_is_refused(
    database_url: str, plan: str, model: str, status: int, code: str
) -> None:
    async with open_caller(database_url, customer={"plan": plan}) as caller:
        reply = await caller.post(drawing(model=model), IMAGES)
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
        assert caller.upstream() == []


async def test_the_plans_monthly_images_are_counted_by_call(database_url: str) -> None:
    async with open_caller(database_url, customer={"plan": "free"}) as caller:
        reply = await caller.post(drawing(n=4), IMAGES)
        assert (reply.headers["x-ratelimit-limit"], reply.headers["x-ratelimit-remaining"]) == ("50", "49")


async def test_a_balance_that_covers_only_some_of_the_images_buys_none(database_url: str) -> None:
    async with open_caller(database_url, customer={"credit_ucr": 20 * CREDIT}) as caller:
        assert (await caller.post(drawing(n=3), IMAGES)).status_code == 402
        assert caller.upstream() == []
        assert (await caller.post(drawing(n=2), IMAGES)).status_code == 200
        assert caller.books().balance == 4 * CREDIT
