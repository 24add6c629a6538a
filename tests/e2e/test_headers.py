"""Status codes and headers of every reply (compat.md section 5, rows H1 to H14)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import trio

from tests.e2e.calling import CHAT, MODELS, Caller, open_caller, question

#: What the simulated providers say and send about themselves; none of it may reach a client.
CANARIES = (
    *("aierror", "html", "http:", "127.0.0.1", "leak", "authentication error", "auth credentials", "incorrect api key"),
    *(
        "invalid api key",
        "sk-",
        "neuron",
        "quota",
        "internal server error",
        "the server had an error",
        "user_simulated",
    ),
    *("openrouter", "cloudflare", "clarifai", "traceback", "detail", "no credits", "insufficient"),
)


async def test_every_reply_carries_an_id_of_ours(caller: Caller) -> None:
    async def request(method: str, path: str, key: bool = True, body: bytes = b"") -> tuple[int, str]:
        headers = {"x-request-id": "mine"} | ({} if key else {"authorization": "Bearer no"})
        reply = await caller.http.request(method, path, content=body, headers=headers)
        return reply.status_code, reply.headers["x-request-id"]

    replies = [
        await request("GET", "/v1/models"),
        await request("OPTIONS", CHAT),
        await request("GET", "/v1/models", key=False),
        await request("GET", "/v1/nothing"),
        await request("GET", CHAT),
        await request("HEAD", CHAT),
        await request("POST", CHAT, body=b"{"),
        await request("POST", CHAT, body=b"x" * (20 * 1024 * 1024 + 1)),
    ]
    assert [status for status, _ in replies] == [200, 204, 401, 404, 405, 405, 400, 413]
    assert len({found for _, found in replies}) == len(replies)
    assert all(found.startswith("req_") for _, found in replies)


async def test_the_id_of_a_call_stands_in_its_receipt(caller: Caller) -> None:
    reply = await caller.chat("[tokens=1]")
    receipt = await caller.receipt(reply.json()["id"])
    assert receipt["request_id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
async def test_no_header_of_a_provider_reaches_the_client(caller: Caller, model: str) -> None:
    reply = await caller.chat("[mock=noisy_headers] [tokens=1]", model)
    async with caller.stream(question("[mock=noisy_headers] [tokens=1]", model)) as stream:
        await stream.rest()
    for headers in (dict(reply.headers), dict(stream.headers)):
        assert "leak" not in str(headers).lower()
        assert "99999" not in str(headers)
        assert not {"server", "via", "set-cookie", "x-powered-by", "cf-ray", "openai-organization"} & headers.keys()
        assert int(headers["openai-processing-ms"]) >= 0


async def test_the_rate_limit_headers_fall_by_the_request_just_made(tmp_path: Path) -> None:
    async with open_caller(tmp_path, customer={"rpm": 60}) as caller:
        replies = [await caller.chat("[tokens=1]") for _ in range(3)]
        async with caller.stream(question("[tokens=1]")) as stream:
            await stream.rest()
        seen = [reply.headers for reply in replies]
        assert {headers["x-ratelimit-limit-requests"] for headers in seen} == {"60"}
        remaining = [int(headers["x-ratelimit-remaining-requests"]) for headers in seen]
        remaining.append(int(dict(stream.headers)["x-ratelimit-remaining-requests"]))
        assert remaining[0] == 59
        assert all(before - after in (0, 1) for before, after in pairwise(remaining))
        assert remaining[-1] <= 57
        assert seen[0]["x-ratelimit-reset-requests"] == "1s"


@pytest.mark.parametrize(
    "trigger", ["401", "402", "403", "404", "429_retry_after_7", "html_500", "502", "error_200", "bad_request"]
)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
async def test_an_error_speaks_our_words_only(caller: Caller, trigger: str, model: str) -> None:
    reply = await caller.chat(f"[mock={trigger}]", model)
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert [word for word in CANARIES if word in reply.text.lower()] == []
    if trigger in ("401", "402"):
        assert (reply.status_code, error["code"]) == (503, "provider_error")
        assert int(reply.headers["retry-after"]) > 0 if "retry-after" in reply.headers else True


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/no-such-model", 404, "model_not_found"),
        ("GET", "/v1/generation", 400, "missing_required_parameter"),
    ],
)
async def test_a_path_or_method_that_is_not_there_gets_the_envelope(
    caller: Caller, method: str, path: str, status: int, code: str
) -> None:
    reply = await caller.http.request(method, path)
    assert reply.status_code == status
    assert reply.json()["error"].keys() == {"message", "type", "param", "code"}
    assert reply.json()["error"]["code"] == code
    assert reply.headers["content-type"] == "application/json"
    if status == 405:
        assert reply.headers["allow"]


@pytest.mark.parametrize("hint", ["NOT_GIVEN", "-1", "1e9", "600", "", "0x10"])
async def test_odd_hints_of_an_sdk_break_nothing(caller: Caller, hint: str) -> None:
    hints = {"x_stainless_read_timeout": hint, "x_stainless_timeout": hint, "x_stainless_retry_count": hint}
    reply = await caller.post(question("[tokens=1]"), **hints)
    assert reply.status_code == 200


async def test_a_trailing_slash_is_served_and_never_redirected(caller: Caller) -> None:
    assert (await caller.post(question("[tokens=1]"), path=CHAT + "/")).status_code == 200
    for path in ("/v1/models/", "/v1/credits/", "/v1/models/openai/gpt-5.4", "/v1/models/openai%2Fgpt-5.4"):
        assert (await caller.http.get(path)).status_code == 200, path


async def test_probes_are_not_use(caller: Caller) -> None:
    limiter = "SELECT tat FROM api_keys WHERE id = ?"
    before = caller.rows(limiter, caller.house.customer.key_id)
    for _ in range(50):
        for path in (CHAT, "/v1/models"):
            assert (await caller.http.options(path)).status_code == 204
            assert (await caller.http.head(path)).status_code in (200, 405)
    assert caller.rows(limiter, caller.house.customer.key_id) == before
    assert caller.books().calls == 0


async def test_a_connection_goes_on_after_a_head_request(caller: Caller) -> None:
    port = int(caller.house.url.rpartition(":")[2])
    key = caller.house.customer.key
    async with await trio.open_tcp_stream("127.0.0.1", port) as socket:
        for method in ("HEAD", "GET"):
            head = f"{method} /v1/credits HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
            await socket.send_all(head.encode())
            seen = b""
            while b"\r\n\r\n" not in seen or (method == "GET" and b"}" not in seen):
                seen += await socket.receive_some()
            assert seen.startswith(b"HTTP/1.1 200")
            assert seen.count(b"HTTP/1.1") == 1
            assert (b'"balance"' in seen) == (method == "GET")
