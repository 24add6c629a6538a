"""Uploads: bounded in memory, in size and in time; refused early where nothing needs to be read; over HTTP/2 too."""

from __future__ import annotations

import gc
import re
import struct
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx2
import pytest
import trio

from app.api.exchange import ExchangeRules
from app.core.multipart import FIELDS_CAP
from tests.e2e.calling import Caller, open_caller
from tests.e2e.speaking import TRANSCRIPTIONS, asked, recording, transcribe
from tests.e2e.wire_clients import H1Client

MIB: Final = 1024 * 1024
CAP: Final = 25 * MIB
PIECE: Final = 64 * 1024
LEAD: Final = '--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
MULTIPART: Final = {"content-type": "multipart/form-data; boundary=x"}
ANSWERS: Final = {
    "nova-3": b'{"result":{"results":{"channels":[{"alternatives":[{"transcript":"hi"}]}]}}}',
    "whisper-large-v3-turbo": b'{"result":{"text":"hi"}}',
}


def wave_head(size: int) -> bytes:
    """The beginning of a WAV of `size` bytes: 48 kHz, stereo, 16 bit."""
    form = struct.pack("<HHIIHH", 1, 2, 48000, 192000, 4, 16)
    return struct.pack("<4sI8sI", b"RIFF", size - 8, b"WAVEfmt ", 16) + form + struct.pack("<4sI", b"data", size - 44)


async def upload(caller: Caller, size: int, model: str) -> httpx2.Response:
    """Send a recording that is nowhere in memory as a whole."""
    before = f'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\n{model}\r\n{LEAD}'.encode() + wave_head(size)
    after = b"\r\n--x--\r\n"

    async def body() -> AsyncIterator[bytes]:
        yield before
        for at in range(44, size, PIECE):
            yield bytes(min(PIECE, size - at))
        yield after

    length = str(len(before) + size - 44 + len(after))
    headers = {**MULTIPART, "content-length": length}
    return await caller.http.post(TRANSCRIPTIONS, content=body(), headers=headers, timeout=60)


class Drain:
    """A provider that keeps nothing: it counts what it is sent, then answers."""

    def __init__(self) -> None:
        self.received = 0
        self.url = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            head, _, body = (await stream.receive_some(PIECE)).partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            assert length is not None
            self.received = len(body)
            while self.received < int(length[1]):
                self.received += len(await stream.receive_some(PIECE))
            answer = ANSWERS["nova-3" if b"nova" in head else "whisper-large-v3-turbo"]
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))


@asynccontextmanager
async def open_drain() -> AsyncIterator[Drain]:
    drain = Drain()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, drain.serve, 0)
        drain.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield drain
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("model", ANSWERS)
async def test_of_25_mib_less_than_one_is_in_memory(tmp_path: Path, model: str) -> None:
    """All of it in one process: client, gateway and provider; what they allocate is watched from begin to end."""
    async with open_drain() as drain, open_caller(tmp_path, cloudflare_base_url=drain.url) as caller:
        await upload(caller, 2 * MIB, model)
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        reply = await upload(caller, CAP, model)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (reply.status_code, reply.json()) == (200, {"text": "hi"})
    assert drain.received >= CAP
    print(f"\n25 MiB to {model}: {(most - before) / 1024:.0f} KiB in memory at most")
    assert most - before < MIB


async def raw(caller: Caller, *lines: str, key: str | None = None) -> H1Client:
    """A connection on which the head of an upload has been sent."""
    client = await H1Client.connect(caller.house.url)
    named = [
        f"POST {TRANSCRIPTIONS} HTTP/1.1",
        "host: gateway",
        f"authorization: Bearer {key or caller.house.customer.key}",
        "content-type: multipart/form-data; boundary=x",
        *lines,
    ]
    await client.send("\r\n".join([*named, "", ""]).encode())
    client.request("sent", b"")  # its parser is told that a request is out
    return client


async def test_a_wrong_key_is_refused_before_the_upload_is_read(caller: Caller) -> None:
    client = await raw(caller, f"content-length: {CAP}", key="cm_wrong")
    with trio.fail_after(1):
        answer = await client.read_to_end()
    assert (answer.status, answer.error_code) == (401, "invalid_api_key")
    assert answer.headers["connection"] == "close"
    await client.leave()


async def test_an_upload_that_says_that_it_is_too_large_is_refused_unread(caller: Caller) -> None:
    client = await raw(caller, f"content-length: {CAP + FIELDS_CAP + 1}")
    with trio.fail_after(1):
        answer = await client.read_to_end()
    assert (answer.status, answer.error_code) == (413, "request_too_large")
    assert answer.headers["connection"] == "close"
    await client.leave()


async def test_an_upload_that_grows_too_large_is_refused_on_its_way(caller: Caller) -> None:
    client = await raw(caller, "transfer-encoding: chunked")
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    lead = LEAD.encode()
    await client.send(b"%x\r\n%b\r\n" % (len(lead), lead))

    async def pour() -> None:
        for _ in range(CAP // 0x10000 + 4):
            await client.send(chunk)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pour)
            answer = await client.read_to_end()
            nursery.cancel_scope.cancel()
    assert (answer.status, answer.error_code) == (413, "request_too_large")
    assert (asked(caller), caller.books().calls) == ([], 0)
    await client.leave()


async def test_an_upload_that_stands_still_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.main._exchange_rules", lambda _settings: ExchangeRules(body_deadline_s=0.2))
    async with open_caller(tmp_path) as caller:
        await stand_still(caller)


async def stand_still(caller: Caller) -> None:
    client = await raw(caller, "content-length: 100000")
    await client.send(LEAD.encode())
    with trio.fail_after(3):
        answer = await client.read_to_end()
    assert (answer.status, answer.error_code) == (400, "invalid_request_error")
    await client.leave()


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, f"{TRANSCRIPTIONS}/"])
async def test_an_upload_over_http2_is_understood_too(caller: Caller, path: str) -> None:
    async with httpx2.AsyncClient(
        base_url=caller.house.url, headers=caller.house.headers, http1=False, http2=True, timeout=10
    ) as http:
        files = {"file": ("a.wav", recording(40_000), "audio/wav")}
        reply = await http.post(path, data={"model": "whisper"}, files=files)
        refused = await http.post(path, files=files, headers={"authorization": "Bearer cm_no"})
    assert (reply.http_version, reply.status_code) == ("HTTP/2", 200)
    assert (refused.http_version, refused.status_code) == ("HTTP/2", 401)


async def test_a_provider_that_answers_before_it_has_read_is_heard(tmp_path: Path) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(PIECE)
            await stream.send_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, refuse, 0)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with open_caller(tmp_path, cloudflare_base_url=url) as caller:
            with trio.fail_after(5):
                reply = await upload(caller, 20 * MIB, "nova-3")
            assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
            assert (await caller.settled()).charged == 0
        nursery.cancel_scope.cancel()


async def test_a_file_in_the_wrong_clothes_is_known_by_its_bytes(caller: Caller) -> None:
    files = {"file": ("song.txt", recording(1000), "text/plain")}
    reply = await caller.http.post(TRANSCRIPTIONS, data={"model": "nova-3"}, files=files)
    assert reply.status_code == 200
    assert asked(caller)[0].request_headers["content-type"] == "audio/wav"


async def test_the_next_call_can_use_the_connection_of_an_upload(caller: Caller) -> None:
    for _ in range(2):
        assert (await transcribe(caller, "nova-3")).status_code == 200
