"""POST /v1/embeddings through OpenAI's own client, and over the wire what it would not send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from app.core.tokens import count_text
from tests.e2e.calling import Caller, open_caller

EMBEDDINGS = "/v1/embeddings"
SMALL = "text-embedding-3-small"
#: USD for a million tokens.
PRICES = {SMALL: 0.02, "text-embedding-3-large": 0.13, "bge-m3": 0.012}


@pytest.fixture
async def sdk(caller: Caller) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{caller.house.url}/v1", api_key=caller.house.customer.key, max_retries=0
    ) as client:
        yield client


def cost_ucr(model: str, tokens: int) -> int:
    return -(-tokens * round(PRICES[model] * 1e6) * 100 // 1_000_000)


@pytest.mark.parametrize(("model", "size"), [(SMALL, 1536), ("text-embedding-3-large", 3072), ("bge-m3", 1024)])
async def test_the_sdk_reads_the_same_vectors_by_its_default_and_as_floats(
    sdk: openai.AsyncOpenAI, model: str, size: int
) -> None:
    by_default = await sdk.embeddings.create(model=model, input=["one", "three"])
    as_floats = await sdk.embeddings.create(model=model, input=["one", "three"], encoding_format="float")
    for reply in (by_default, as_floats):
        assert [item.embedding[:3] for item in reply.data] == [[3.0, 0.0, 0.5], [5.0, 1.0, 0.5]]
        assert [len(item.embedding) for item in reply.data] == [size, size]
        assert (reply.object, reply.model, reply.usage.prompt_tokens, reply.usage.total_tokens) == ("list", model, 2, 2)


async def test_vectors_can_be_shortened(sdk: openai.AsyncOpenAI) -> None:
    reply = await sdk.embeddings.create(model=SMALL, input="hello", dimensions=256)
    assert len(reply.data[0].embedding) == 256


async def test_many_texts_go_out_in_batches_and_come_back_in_order(caller: Caller, sdk: openai.AsyncOpenAI) -> None:
    texts = ["x" * (place + 1) for place in range(128)]
    reply = await sdk.embeddings.create(model="bge-m3", input=texts)
    assert [item.embedding[0] for item in reply.data] == [float(len(text)) for text in texts]
    assert [item.index for item in reply.data] == list(range(128))
    assert [len(record.body["input"]) for record in caller.upstream()] == [100, 28]
    tokens = sum(record.prompt_tokens or 0 for record in caller.upstream())
    assert reply.usage.prompt_tokens == tokens
    assert caller.books().charged == cost_ucr("bge-m3", tokens)


@pytest.mark.parametrize("model", PRICES)
async def test_the_providers_count_of_tokens_is_charged(caller: Caller, model: str) -> None:
    text = "all that is gold does not glitter " * 50
    reply = await caller.post({"model": model, "input": text}, EMBEDDINGS)
    receipt = await caller.receipt(reply.headers["x-generation-id"])
    (record,) = caller.upstream()
    assert caller.books().charged == cost_ucr(model, record.usage_sent["prompt_tokens"] if record.usage_sent else 0)
    assert (receipt["settlement_basis"], receipt["settlement_rule"]) == ("provider_usage", "B5")
    assert (receipt["tokens_prompt"], receipt["tokens_completion"]) == (record.prompt_tokens, 0)


async def test_without_a_count_ours_is_charged(caller: Caller) -> None:
    text = "hello [mock=no_usage]"
    reply = await caller.post({"model": SMALL, "input": text}, EMBEDDINGS)
    assert reply.json()["usage"]["prompt_tokens"] == count_text(text)
    receipt = await caller.receipt(reply.headers["x-generation-id"])
    assert (receipt["settlement_basis"], receipt["settlement_rule"]) == ("tokenizer_estimate", "B9")
    assert caller.books().charged == cost_ucr(SMALL, count_text(text))


@pytest.mark.parametrize(
    ("fault", "status", "code", "tries"),
    [
        ("500", 502, "upstream_error", 2),
        ("empty_answer", 502, "upstream_error", 2),
        ("invalid_json_body", 502, "upstream_error", 2),
        ("eof_mid", 502, "upstream_error", 2),
        ("error_200", 502, "upstream_error", 2),
        ("429_retry_after_7", 429, "rate_limit_exceeded", 1),
        ("401", 503, "provider_error", 1),
        ("402", 503, "provider_error", 1),
        ("context_length", 400, "context_length_exceeded", 1),
        ("bad_request", 400, "invalid_request_error", 1),
    ],
)
@pytest.mark.parametrize("model", [SMALL, "bge-m3"])
async def test_a_failure_is_told_in_our_words_and_is_free(
    caller: Caller, model: str, fault: str, status: int, code: str, tries: int
) -> None:
    reply = await caller.post({"model": model, "input": f"hi [mock={fault}]"}, EMBEDDINGS)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert (len(caller.upstream()), caller.books().charged) == (tries, 0)
    assert status != 429 or reply.headers["retry-after"] == "7"


async def test_a_failure_is_tried_again(caller: Caller) -> None:
    reply = await caller.post({"model": SMALL, "input": "hi [mock=fail_once:embed]"}, EMBEDDINGS)
    assert (reply.status_code, reply.headers["x-cm-attempts"]) == (200, "2")


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"input": ["a"] * 129}, 400, "invalid_value", "input"),
        ({"input": [[1, 2]]}, 400, "invalid_type", "input[0]"),
        ({"input": "x" * 100_001}, 413, "request_too_large", "input"),
        ({"input": "a b " * 20_000}, 400, "context_length_exceeded", "input"),
        ({"dimensions": 1537}, 400, "invalid_value", "dimensions"),
        ({"model": "bge-m3", "dimensions": 256}, 400, "unsupported_parameter", "dimensions"),
        ({"model": "kimi-k2.6"}, 404, "model_not_found", "model"),
        ({"model": "no-such-model"}, 404, "model_not_found", "model"),
    ],
)
async def test_a_bad_request_is_refused_before_anybody_is_asked(
    caller: Caller, fields: dict[str, Any], status: int, code: str, param: str
) -> None:
    reply = await caller.post({"model": SMALL, "input": "hi", **fields}, EMBEDDINGS)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (status, code, param)
    assert (caller.upstream(), caller.books().calls) == ([], 0)


async def test_the_free_plan_embeds_without_a_cap(database_url: str) -> None:
    async with open_caller(database_url, customer={"plan": "free"}) as caller:
        reply = await caller.post({"model": SMALL, "input": "hi"}, EMBEDDINGS)
        assert reply.status_code == 200
        assert "x-ratelimit-limit" not in reply.headers


async def test_a_key_limited_to_other_models_is_refused(database_url: str) -> None:
    async with open_caller(database_url, customer={"allowed_models": "bge-m3"}) as caller:
        assert (await caller.post({"model": "BGE-M3", "input": "hi"}, EMBEDDINGS)).status_code == 200
        reply = await caller.post({"model": SMALL, "input": "hi"}, EMBEDDINGS)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "model_not_allowed")
