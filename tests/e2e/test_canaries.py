"""Secrets, prompts and answers show up nowhere they do not belong (design.md invariant 7).

Searched are the log at debug level, error bodies, receipts, the database, metrics, readiness, traces as a collector
gets them, and what a command says that cannot reach its database.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle, product
from pathlib import Path
from typing import Any, Final

import h11
import httpx2
import msgspec
import pytest
import trio

from app.config import Secret, Settings
from app.core.identity import HINT_LENGTH, new_key
from catalog.catalog import Catalog
from scripts.simulator.triggers import TRIGGERS
from tests.databases import open_view
from tests.e2e.process import ROOT, as_environment, open_gateway_process
from tests.house import SECRET, Ground, open_ground
from tests.observability.collector import open_collector
from tests.observability.house import free_port

CHAT: Final = "/v1/chat/completions"
PROMPT: Final = "wombatcanaryprompt"
QUERY: Final = "wombatcanaryquery"
ANSWER: Final = "wombatcanaryanswer"
METRICS_TOKEN: Final = "wombat-canary-metrics-token"
OTLP_HEADER: Final = "wombatcanaryotlpheader"
DATABASE_PASSWORD: Final = "wombatcanarydatabasepassword"
MONITORING: Final = {"authorization": f"Bearer {METRICS_TOKEN}"}
PROVIDER_KEYS: Final[dict[str, Any]] = {
    "openrouter_api_key": Secret("sk-or-v1-wombatcanaryopenrouter"),
    "cloudflare_api_token": Secret("wombatcanarycloudflaretoken"),
    "sarvam_api_key": Secret("wombatcanarysarvamkey"),
    "fast_api_key": Secret("wombatcanaryfastkey"),
}
#: The providers' own models in turn, so that one which failed rests while the others are asked.
TEXT_MODELS: Final = [model for model in Catalog.load().models.values() if model.category == "llm"]
MODELS: Final = {
    provider: [each.id for each in TEXT_MODELS if [route.provider for route in each.routes] == [provider]]
    for provider in ("openrouter", "cloudflare", "sarvam")
}
#: The host of this model repeats all it was sent: headers, key, prompt.
PARROT: Final = "kimi-k2.5-fast"
#: Silent providers are asked by a client that does not wait.
HANGING: Final = ("hang_headers", "hang_headers_after_accept", "hang_mid", "slow_tokens")


def question(text: str, model: str, **fields: Any) -> dict[str, Any]:
    """The canary stands wherever a prompt may have words."""
    tool = {"type": "function", "function": {"name": "look_up", "description": PROMPT, "parameters": {}}}
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": f"{text} {PROMPT}"}]
    return {"model": model, "messages": messages, "tools": [tool], "user": PROMPT, **fields}


def parroted(heard: bytes) -> str:
    """The words of an error that quotes: half of them the key, half of them the prompt."""
    head, _, body = heard.partition(b"\r\n\r\n")
    if b"[say]" in body:
        return ANSWER
    if b"[quote=key]" in body:
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization"))
        return f"Incorrect API key provided: {key.decode()}"
    texts = [message["content"] for message in msgspec.json.decode(body)["messages"]]
    return f"Invalid message content: '{texts[-1]}', after '{texts[0]}'"


async def serve_parrot(stream: trio.SocketStream) -> None:
    """A provider whose errors repeat the request, key and prompt and all; asked for an answer, it gives the canary."""
    http = h11.Connection(h11.SERVER)
    heard = b""
    async with stream:
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(data := await stream.receive_some())
                if not data:
                    return
                heard += data
            elif isinstance(event, h11.EndOfMessage):
                break
        status = int(heard.partition(b"[status=")[2][:3] or b"500")
        said = parroted(heard)
        body = msgspec.json.encode({"error": {"message": said, "type": said, "code": said}})
        kind = "application/json"
        if said == ANSWER:
            choice = {"index": 0, "delta": {"content": ANSWER}, "finish_reason": "stop"}
            body = msgspec.json.encode({"id": "x", "model": "parrot", "choices": [choice]})
        if status == 200:
            kind, body = "text/event-stream", b"data: " + body + b"\n\n"
        head = [("content-type", kind), ("content-length", str(len(body))), ("connection", "close"), ("x-said", PROMPT)]
        data = http.send(h11.Response(status_code=status, headers=head)) or b""
        await stream.send_all(data + (http.send(h11.Data(data=body)) or b"") + (http.send(h11.EndOfMessage()) or b""))


@asynccontextmanager
async def open_haunted_ground(folder: Path, collector_url: str) -> AsyncIterator[Ground]:
    """A ground whose every secret is a canary, whose fast host is a parrot, and whose traces a collector gets."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve_parrot, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        async with open_ground(
            folder,
            log_level="debug",
            access_log=True,
            metrics_port=free_port(),
            metrics_token=Secret(METRICS_TOKEN),
            otel_exporter_otlp_endpoint=collector_url,
            fast_base_url=f"http://127.0.0.1:{port}/v1",
            **PROVIDER_KEYS,
        ) as ground:
            yield ground
        nursery.cancel_scope.cancel()


async def haunt(http: httpx2.AsyncClient) -> list[httpx2.Response]:
    """Good calls and every kind of bad one; what came back."""
    replies: list[httpx2.Response] = []

    async def post(body: dict[str, Any] | bytes, **headers: str) -> None:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        replies.append(await http.post(CHAT, content=content, headers=headers))

    for models in MODELS.values():
        turns = cycle(models)
        for stream in (True, False):
            await post(question("[tokens=3]", next(turns), stream=stream))
            for trigger in TRIGGERS:
                if ":" not in trigger and trigger not in HANGING and trigger != "5xx_hang_body":
                    await post(question(f"[mock={trigger}] [pace=0]", next(turns), stream=stream))
    for status in (200, 400, 401, 403, 404, 429, 500):
        for stream in (True, False):
            await post(question(f"[status={status}] [quote=key]", PARROT, stream=stream))
            await post(question(f"[status={status}] [quote=prompt]", PARROT, stream=stream))
    for trigger in HANGING:
        with trio.move_on_after(0.2):
            await post(question(f"[mock={trigger}]", "kimi-k2.6", stream=True))
    await post(b'{"model": "kimi-k2.6", "messages": "' + PROMPT.encode() + b'"}')
    await post(b'{"model": "kimi-k2.6", "messages": [{"role": "user", "content": "' + PROMPT.encode())
    await post(question("x", "kimi-k2.6", temperature=PROMPT))
    await post(question("x" * 200_000, "gemma-4-26b-a4b-it"))
    replies.append(await http.get(f"/v1/models?key={QUERY}"))
    replies.append(await http.get(f"/nowhere?key={QUERY}"))
    replies.append(await http.get("/v1/credits"))
    return replies


def secrets(key: str, wrong_key: str) -> dict[str, str]:
    """What must be found nowhere. A key may be shown by its first characters."""
    named = {name: str(value) for name, value in PROVIDER_KEYS.items()}
    return {
        **named,
        "key": key[HINT_LENGTH:],
        "wrong key": wrong_key[HINT_LENGTH:],
        "server secret": str(SECRET),
        "metrics token": METRICS_TOKEN,
        "OTLP header": OTLP_HEADER,
        "prompt": PROMPT,
        "answer": ANSWER,
        "query": QUERY,
    }


async def test_no_secret_and_no_prompt_is_found_in_anything_the_gateway_writes(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    wrong_key = new_key()
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization={OTLP_HEADER}"}
    async with (
        open_collector() as collector,
        open_haunted_ground(tmp_path, collector.url) as ground,
        open_gateway_process(ground.settings, log, around=headers) as gateway,
    ):
        bearer = {"authorization": f"Bearer {ground.customer.key}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=bearer, timeout=20, trust_env=False) as http:
            say = "[status=200] [say]"
            told = [await http.post(CHAT, json=question(say, PARROT, stream=stream)) for stream in (True, False)]
            replies = await haunt(http)
            refused = await http.get("/v1/credits", headers={"authorization": f"Bearer {wrong_key}"})
            receipts = [await http.get("/v1/generation", params={"id": each}) for each in call_ids(ground)]
            looks = [await http.get("/readyz"), await http.get("/metrics", headers=MONITORING)]
            looks.append(await http.get(f"http://127.0.0.1:{ground.settings.metrics_port}/metrics"))
            refused_look = await http.get("/metrics")
        assert await gateway.end(signal.SIGTERM) == 0
    files = [log, *tmp_path.glob("gateway.db*")]  # noqa: ASYNC240 - nothing else runs
    texts = {path.name: path.read_bytes() for path in files} | {"traces": collector.heard}
    for reply in [*replies, *receipts, refused, *looks, refused_look]:
        texts[f"answer {reply.status_code}"] = texts.get(f"answer {reply.status_code}", b"") + whole(reply)
    hits = [
        f"{name} in {place}: ...{text[max(0, at - 200) : at + 60]!r}"
        for name, secret in secrets(ground.customer.key, wrong_key).items()
        for place, text in texts.items()
        if (at := text.find(secret.encode())) >= 0
    ]
    assert hits == []
    statuses = {reply.status_code for reply in replies}
    assert {200, 400, 404, 502, 503} <= statuses
    assert len(receipts) > 100
    assert (refused.status_code, refused_look.status_code) == (401, 401)
    assert [(reply.status_code, ANSWER in reply.text) for reply in told] == [(200, True), (200, True)], told[0].text
    assert [look.status_code for look in looks] == [200, 200, 200]
    assert looks[1].text.count("callmissed_upstream_attempts_total{") > 5
    assert len(collector.spans) > len(receipts)
    assert collector.headers["authorization"] == OTLP_HEADER
    assert b'"event":"request"' in texts["gateway.log"]
    assert b"chat.attempt_failed" in texts["gateway.log"]


@pytest.mark.parametrize(
    ("command", "address"),
    [
        *product(["serve", "migrate", "seed", "doctor"], ["127.0.0.1:9/gateway"]),
        *product(["serve", "doctor"], ["127.0.0.1:port/gateway", "[::1/gateway"]),
    ],
)
def test_no_command_says_the_password_of_a_database_that_it_cannot_reach(command: str, address: str) -> None:
    url = f"postgresql://gateway:{DATABASE_PASSWORD}@{address}"
    settings = Settings(database_url=url, secret_key=SECRET, database_deadline_s=1.0, log_level="debug")
    ended = subprocess.run(
        [sys.executable, "-m", "app", command],
        cwd=ROOT,
        env=as_environment(settings),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert DATABASE_PASSWORD.encode() not in ended.stdout + ended.stderr


def call_ids(ground: Ground) -> list[str]:
    with open_view(ground.settings.database_url) as db:
        return [row[0] for row in db.all("SELECT id FROM calls")]


def whole(reply: httpx2.Response) -> bytes:
    return b"".join(name + b": " + value + b"\n" for name, value in reply.headers.raw) + reply.content
