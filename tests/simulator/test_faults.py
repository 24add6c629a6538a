"""How a faulty answer ends on the wire, byte by byte."""

from __future__ import annotations

import httpx2
import pytest
import trio

from tests.simulator.asking import PATHS, Running, chat_body, post, read_to_end, read_until


async def everything(simulator: Running, cue: str, *, stream: bool = True) -> tuple[bytes, bool]:
    async with simulator.dial() as opened:
        await opened.send_all(post(chat_body(f"{cue}[tag=t]", stream=stream)))
        return await read_to_end(opened)


@pytest.mark.parametrize(("trigger", "reset"), [("eof_mid", False), ("rst_mid", True)])
async def test_a_cut_stream_lacks_its_http_ending(simulator: Running, trigger: str, reset: bool) -> None:
    async with simulator.dial() as opened:
        await opened.send_all(post(chat_body(f"[mock={trigger}][pace=200][tag=t]", stream=True)))
        seen = await read_until(opened, b'" the"')
        rest, was_reset = await read_to_end(opened)
    assert was_reset is reset
    assert b"0\r\n\r\n" not in seen + rest
    record = await simulator.ended("t")
    assert (record.tokens_sent, record.outcome, record.finished, record.usage_sent) == (5, "faulted", None, None)


async def test_end_mid_ends_the_http_body_properly(simulator: Running) -> None:
    async with simulator.dial() as opened:
        await opened.send_all(post(chat_body("[mock=end_mid][tag=t]", stream=True)))
        seen = await read_until(opened, b"0\r\n\r\n")
    assert b"[DONE]" not in seen
    assert b'"finish_reason":"' not in seen


async def test_close_before_body_sends_headers_only(simulator: Running) -> None:
    seen, reset = await everything(simulator, "[mock=close_before_body]")
    assert seen.startswith(b"HTTP/1.1 200")
    assert seen.endswith(b"\r\n\r\n")
    assert not reset
    assert (await simulator.ended("t")).first_byte is None


@pytest.mark.parametrize("stream", [True, False])
async def test_drop_after_usage_closes_with_everything_said(simulator: Running, stream: bool) -> None:
    seen, _ = await everything(simulator, "[mock=drop_after_usage]", stream=stream)
    assert b'"finish_reason":"stop"' in seen
    assert b"[DONE]" not in seen
    assert (await simulator.ended("t")).tokens_sent == 40


async def test_an_unstreamed_cut_keeps_less_than_it_promised(simulator: Running) -> None:
    seen, _ = await everything(simulator, "[mock=eof_mid]", stream=False)
    head, _, body = seen.partition(b"\r\n\r\n")
    promised = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert 0 < len(body) < promised
    assert (await simulator.ended("t")).tokens_sent == 0


async def test_hang_mid_says_three_tokens_and_then_nothing(simulator: Running) -> None:
    async with simulator.dial() as opened:
        await opened.send_all(post(chat_body("[mock=hang_mid]", stream=True)))
        seen = await read_until(opened, b" opens")
        assert b" before" not in seen
        with trio.move_on_after(0.1) as silence:
            await opened.receive_some()
    assert silence.cancelled_caught


async def test_hang_headers_says_nothing(simulator: Running) -> None:
    async with simulator.dial() as opened:
        await opened.send_all(post(chat_body("[mock=hang_headers]", stream=True)))
        with trio.move_on_after(0.1) as silence:
            await opened.receive_some()
    assert silence.cancelled_caught


async def test_5xx_hang_body_keeps_its_body_open(simulator: Running) -> None:
    async with simulator.dial() as opened:
        await opened.send_all(post(chat_body("[mock=5xx_hang_body]")))
        seen = await read_until(opened, b'{"error"')
        with trio.move_on_after(0.1) as silence:
            await opened.receive_some()
    assert seen.startswith(b"HTTP/1.1 500")
    assert silence.cancelled_caught


async def test_late_error_comes_when_it_was_told_to(simulator: Running, client: httpx2.AsyncClient) -> None:
    reply = await client.post(PATHS["openai"], json=chat_body("[mock=late_error:120][tag=t]", stream=True))
    assert reply.status_code == 500
    record = await simulator.ended("t")
    assert record.headers_sent is not None
    assert 0.12 <= record.headers_sent - record.accepted < 1


async def test_fail_once_fails_once(client: httpx2.AsyncClient) -> None:
    replies = [await client.post(PATHS["openai"], json=chat_body("[mock=fail_once:k]")) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [500, 200, 200]


async def test_split_utf8_arrives_whole_although_each_byte_travels_alone(
    simulator: Running, client: httpx2.AsyncClient
) -> None:
    reply = await client.post(PATHS["openai"], json=chat_body("[mock=split_utf8][tokens=8][tag=t]", stream=True))
    assert "भारत" in reply.text
    assert "😀" in reply.text
    assert "\ufffd" not in reply.text
    assert (await simulator.ended("t")).tokens_sent == 8


async def test_split_utf8_cuts_inside_letters(simulator: Running) -> None:
    async with simulator.dial() as opened:
        await opened.send_all(post(chat_body("[mock=split_utf8][tokens=2]", stream=True)))
        seen = await read_until(opened, b"0\r\n\r\n")
    assert b"1\r\n\xe0\r\n1\r\n\xa4\r\n" in seen


async def test_a_giant_line_goes_through(simulator: Running, client: httpx2.AsyncClient) -> None:
    reply = await client.post(PATHS["openai"], json=chat_body("[mock=giant_line][tag=t]", stream=True))
    assert max(map(len, reply.text.splitlines())) > 1 << 20
    assert (await simulator.ended("t")).tokens_sent > 100_000


async def test_noisy_headers_arrive_at_the_gateways_side(client: httpx2.AsyncClient) -> None:
    reply = await client.post(PATHS["openai"], json=chat_body("[mock=noisy_headers]"))
    assert reply.headers["openai-organization"] == "org-leaked"
    assert reply.headers["set-cookie"].startswith("session=leaked")
