"""The server over loopback: one connection, many requests; paces; its own routes; nothing ends it."""

from __future__ import annotations

from functools import partial

import httpx2
import pytest
import trio

from scripts.simulator import connection
from scripts.simulator.dialects.sarvam import SARVAM
from scripts.simulator.script import Script
from scripts.simulator.server import serve
from scripts.simulator.settings import Settings
from tests.simulator.asking import DIALECTS, PATHS, Running, chat_body, post, read_to_end, read_until


@pytest.mark.parametrize("name", [dialect.name for dialect in DIALECTS])
async def test_every_surface_answers_a_real_client(client: httpx2.AsyncClient, simulator: Running, name: str) -> None:
    whole = await client.post(PATHS[name], json=chat_body("[tag=whole][tokens=7]"))
    streamed = await client.post(PATHS[name], json=chat_body("[tag=streamed][tokens=7]", stream=True))
    assert whole.json()["usage"]["completion_tokens"] == 7
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.endswith("data: [DONE]\n\n")
    records = [await simulator.ended(tag) for tag in ("whole", "streamed")]
    assert [(record.dialect, record.tokens_sent, record.outcome) for record in records] == [(name, 7, "finished")] * 2


async def test_a_kept_alive_connection_serves_many_requests(simulator: Running) -> None:
    async with simulator.dial() as stream:
        for number in range(5):
            await stream.send_all(post(chat_body(f"[tag=t{number}]", stream=True)))
            await read_until(stream, b"0\r\n\r\n")
    assert [record.tag for record in simulator.book.records()] == [f"t{number}" for number in range(5)]


async def test_pipelined_requests_are_answered_in_order(simulator: Running) -> None:
    async with simulator.dial() as stream:
        await stream.send_all(post(chat_body("[ids=first]")) + post(chat_body("[ids=second]")))
        seen = await read_until(stream, b"chatcmpl-second")
        assert seen.index(b"chatcmpl-first") < seen.index(b"chatcmpl-second")


async def test_a_large_body_is_read_and_expect_is_answered(simulator: Running) -> None:
    body = chat_body("word " * 100_000 + "[tag=big]")
    head, _, rest = post(body, headers={"expect": "100-continue"}).partition(b"\r\n\r\n")
    async with simulator.dial() as stream:
        await stream.send_all(head + b"\r\n\r\n")
        await read_until(stream, b"100 ")
        await stream.send_all(rest)
        await read_until(stream, b'"usage"')
    record = await simulator.ended("big")
    assert record.body == {"left_out_bytes": len(rest)}
    assert record.prompt_tokens is not None
    assert record.prompt_tokens > 100_000


async def test_bad_http_gets_a_400_and_the_server_lives_on(simulator: Running, client: httpx2.AsyncClient) -> None:
    async with simulator.dial() as stream:
        await stream.send_all(b"this is not http\r\n\r\n")
        seen, _ = await read_to_end(stream)
    assert seen.startswith(b"HTTP/1.1 400")
    assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_an_error_inside_is_a_500_and_the_server_lives_on(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Script:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "ask", broken)
        assert (await client.post(PATHS["openai"], json=chat_body())).status_code == 500
    assert (await client.post(PATHS["openai"], json=chat_body())).status_code == 200


async def test_unknown_paths_say_what_there_is(client: httpx2.AsyncClient) -> None:
    reply = await client.get("/nowhere")
    assert reply.status_code == 404
    assert "POST /sarvam/v1/chat/completions" in reply.json()["paths"]


async def test_model_lists_have_each_dialects_shape(client: httpx2.AsyncClient) -> None:
    openrouter = (await client.get("/openrouter/api/v1/models")).json()["data"][0]
    assert float(openrouter["pricing"]["prompt"]) > 0
    for path in ("/sarvam/v1/models", "/openai/v1/models", "/local/v1/models"):
        listed = (await client.get(path)).json()
        assert listed["object"] == "list"
        assert set(listed["data"][0]) == {"id", "object", "created", "owned_by"}
        assert "mock/eof_mid" in {entry["id"] for entry in listed["data"]}


@pytest.mark.parametrize("path", ["/openrouter/api/v1/key", "/openrouter/api/v1/credits", "/sarvam/v1/models"])
async def test_lookups_want_a_key(simulator: Running, path: str) -> None:
    async with httpx2.AsyncClient(base_url=simulator.url, trust_env=False) as stranger:
        assert (await stranger.get(path)).status_code in {401, SARVAM.errors["bad_key"].status}


async def test_openrouter_knows_what_was_spent_and_what_each_answer_took(client: httpx2.AsyncClient) -> None:
    answer = await client.post(PATHS["openrouter"], json=chat_body("[tokens=11]"))
    assert answer.headers["x-generation-id"] == answer.json()["id"]
    late = await client.get("/openrouter/api/v1/generation", params={"id": answer.json()["id"]})
    assert late.json()["data"]["tokens_completion"] == 11
    assert late.json()["data"]["cancelled"] is False
    used = (await client.get("/openrouter/api/v1/credits")).json()["data"]["total_usage"]
    assert used > 0
    assert (await client.get("/openrouter/api/v1/key")).json()["data"]["usage"] == used


async def test_an_unknown_generation_is_not_found(client: httpx2.AsyncClient) -> None:
    reply = await client.get("/openrouter/api/v1/generation", params={"id": "gen-none"})
    assert reply.status_code == 404


async def test_a_body_over_the_cap_is_refused(nursery: trio.Nursery) -> None:
    url = await nursery.start(partial(serve, settings=Settings(max_body_bytes=1000)))
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        reply = await client.post(PATHS["openai"], json=chat_body("x" * 1000))
    assert reply.status_code == 413


async def test_a_body_of_many_megabytes_is_read(client: httpx2.AsyncClient, simulator: Running) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * (8 << 20)}}
    content = [{"type": "text", "text": "[tag=t]"}, image]
    reply = await client.post(PATHS["openai"], json={"model": "m", "messages": [{"role": "user", "content": content}]})
    assert reply.status_code == 200
    assert (await simulator.ended("t")).outcome == "finished"
