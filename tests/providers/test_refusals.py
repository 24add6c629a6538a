"""One row per line of each wire document's error table: what came from upstream, what our client and breaker see."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from app.core.errors import UpstreamError
from app.providers.dialect import ChatAsk

#: 2026-01-01 22:00:00 UTC, two hours before the day ends.
from tests.providers.refusal_tables import (
    ACCOUNT,
    CLIENT,
    DIALECTS,
    FAILED,
    OVERLONG,
    ROWS,
    UUID,
    Row,
    coded,
    typed,
)


def question(row: Row) -> ChatAsk:
    fields: dict[str, Any] = {"upstream_model": "m", **row.ask}
    return ChatAsk(raw={"messages": [], **row.raw}, tenant_salt="salt", **fields)


def refusal(name: str, row: Row) -> UpstreamError:
    body = row.error.encode() if isinstance(row.error, str) else msgspec.json.encode(row.error)
    ask = question(row)
    return DIALECTS[name].refusal(row.status, row.headers, body, ask.upstream_model, ask)


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_refusal_means_what_the_wire_document_says(name: str, row: Row) -> None:
    error = refusal(name, row)
    assert (error.code, error.retry, error.breaker) == row.seen
    assert error.retry_after_s == row.wait_s
    assert error.param == row.param
    assert error.status == row.status


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_clients_mistake_never_counts_and_our_account_is_never_the_clients(name: str, row: Row) -> None:
    error = refusal(name, row)
    status = error.problem().status
    assert status not in (401, 402, 403)
    if status in (400, 404, 413):
        assert error.breaker == "ignore"
    if error.breaker == "open_provider":
        assert error.code == "provider_error"


#: Words of upstreams that no client may read (compat.md H6).
CANARIES: Final = (
    *("openrouter", "cloudflare", "sarvam", "ollama", "vllm", "llama", "neuron", "aierror", "@cf", "http", "html"),
    *("api key", "sk-", "account", "credit", "quota", "endpoint", "words", UUID, "canary"),
)


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_no_word_of_the_upstream_reaches_the_client(name: str, row: Row) -> None:
    said = refusal(name, row).problem().body().decode().lower()
    assert [word for word in CANARIES if word in said] == []


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
def test_an_error_that_echoes_everything_is_not_relayed(name: str, status: int) -> None:
    echo = {"message": "canary", "type": "canary", "param": "canary", "code": "canary", "metadata": {"raw": "canary"}}
    for body in ({"error": echo}, {"error": "canary"}, echo, {"errors": [{"code": 1234, "message": "canary"}]}):
        row = Row(status, body, CLIENT, raw={"canary": 1})
        assert "canary" not in refusal(name, row).problem().body().decode()


# Errors inside a 200.


@pytest.mark.parametrize(
    ("name", "error", "seen"),
    [
        ("openrouter", typed("rate_limit_exceeded", 429)["error"], ("rate_limit_exceeded", "other", "rest")),
        ("openrouter", {"code": 502, "message": "Provider returned error"}, FAILED),
        ("openrouter", {"code": 400, "message": "m", "metadata": {"raw": "prompt is too long: 9 tokens"}}, OVERLONG),
        ("openrouter", {"code": "server_error", "message": "m"}, FAILED),
        ("openrouter", {"message": "m"}, FAILED),
        ("cloudflare", coded(3036), ACCOUNT),
        ("cloudflare", coded(3040)["errors"][0], ("rate_limit_exceeded", "once", "rest")),
        ("cloudflare", {"message": "bad", "type": "BadRequestError", "code": 400}, CLIENT),
        ("cloudflare", {"message": "boom"}, FAILED),
        ("sarvam", {"message": "m", "code": "model_call_error"}, FAILED),
        ("sarvam", {"message": "m", "code": "invalid_request_error"}, CLIENT),
        ("sarvam", {"message": "m"}, FAILED),
        ("compatible", {"message": "m", "type": "InternalServerError", "code": 500}, FAILED),
        ("compatible", {"message": "m", "type": "BadRequestError", "code": 400}, CLIENT),
        ("compatible", {"message": "maximum context length is 9", "code": None}, OVERLONG),
        ("compatible", {"message": "m", "code": None}, FAILED),
    ],
)
def test_an_error_inside_a_200_is_judged_by_its_own_code(
    name: str, error: dict[str, Any], seen: tuple[str, str, str]
) -> None:
    found = DIALECTS[name].fault(error, ChatAsk("m", {"messages": []}, "salt"))
    assert (found.code, found.retry, found.breaker) == seen


# What our own log gets.


def detail_of(name: str, words: str) -> str:
    body = msgspec.json.encode({"error": {"message": words}})
    return DIALECTS[name].refusal(500, {}, body, "m", ChatAsk("m", {"messages": []}, "salt")).detail


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("secret", ["sk-or-v1-abc123def456", "0123456789abcdef0123456789abcdef"])
def test_a_key_in_the_upstreams_words_is_masked_in_our_log(name: str, secret: str) -> None:
    assert "Incorrect: *** at line 1" in detail_of(name, f"Incorrect: {secret} at line 1")


@pytest.mark.parametrize(("name", "key"), [("openrouter", "key-o"), ("cloudflare", "key-c"), ("sarvam", "key-s")])
def test_our_own_key_is_masked_in_our_log(name: str, key: str) -> None:
    assert "Incorrect: *** at line 1" in detail_of(name, f"Incorrect: {key} at line 1")


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", b'{"error":null}', b'{"errors":[]}']
)
def test_a_body_that_is_no_error_object_is_still_a_failure(name: str, body: bytes) -> None:
    error = DIALECTS[name].refusal(500, {}, body, "m", ChatAsk("m", {"messages": []}, "salt"))
    assert error.code == "upstream_error"
    assert len(error.detail.encode()) <= 200


@pytest.mark.parametrize("name", DIALECTS)
def test_the_log_gets_at_most_200_bytes_on_one_line(name: str) -> None:
    detail = detail_of(name, "हि\n\x1b[31m " * 500)
    assert 190 <= len(detail.encode()) <= 200
    assert detail.isprintable()
