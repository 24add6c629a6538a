"""One question to a provider: nothing left, nothing came back, or an answer; and that a cancel hangs up."""

from __future__ import annotations

import ssl
from contextlib import aclosing
from pathlib import Path

import pytest
import trio
import trio.testing

from app.providers.dialect import Outgoing
from app.providers.upstream import Upstream
from app.providers.whatsapp.exchange import Answer, exchange, harmless
from app.providers.whatsapp.line import NotSent, OutcomeUnknown
from tests.certificate import self_signed
from tests.providers.peer import Act, Line, open_peer
from tests.providers.whatsapp.talking import (
    FAST,
    answer,
    breaks_after_reading,
    breaks_before_reading,
    falls_silent,
    says,
)

QUESTION = Outgoing("/messages", ((b"x-own", b"1"),), b'{"a":1}', ())


async def ask(act: Act) -> Answer:
    async with open_peer(act) as peer, aclosing(Upstream(peer.url, deadlines=FAST)) as upstream:
        return await exchange(upstream, QUESTION)


async def closes_at_once(line: Line) -> None:
    await line.request()


async def speaks_another_protocol(line: Line) -> None:
    await line.request()
    await line.send(b"SSH-2.0-OpenSSH\r\n\r\n")


async def says_half(line: Line) -> None:
    await line.request()
    await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    await line.reset()


@pytest.mark.parametrize(
    "act", [closes_at_once, breaks_after_reading, breaks_before_reading, speaks_another_protocol, falls_silent]
)
async def test_once_there_was_a_connection_nobody_knows(act: Act) -> None:
    async with open_peer(act) as peer:
        upstream = Upstream(peer.url, deadlines=FAST)
        with pytest.raises(OutcomeUnknown):
            await exchange(upstream, QUESTION, within_s=0.2)
        assert upstream.in_flight == upstream.idle == 0


async def test_a_silent_provider_is_hung_up_on_at_the_deadline() -> None:
    async with open_peer(falls_silent) as peer:
        began = trio.current_time()
        with pytest.raises(OutcomeUnknown, match="no answer came"):
            await exchange(Upstream(peer.url), QUESTION, within_s=0.2)
        assert 0.19 < trio.current_time() - began < 1
        with trio.fail_after(1):
            await peer.hung_up.wait()


async def test_a_body_that_dawdles_ends_at_the_same_deadline() -> None:
    async def dawdle(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        while True:
            await trio.sleep(0.05)
            await line.send(b"x")

    async with open_peer(dawdle) as peer:
        began = trio.current_time()
        with pytest.raises(OutcomeUnknown):
            await exchange(Upstream(peer.url), QUESTION, within_s=0.3)
        assert trio.current_time() - began < 1


async def test_a_cancel_closes_the_socket() -> None:
    async with open_peer(falls_silent) as peer:
        with trio.move_on_after(0.1):
            await exchange(Upstream(peer.url), QUESTION)
        with trio.fail_after(1):
            await peer.hung_up.wait()


async def test_where_nobody_listens_nothing_has_left() -> None:
    with pytest.raises(NotSent):
        await exchange(Upstream("http://127.0.0.1:9"), QUESTION)


async def test_without_a_certificate_to_trust_nothing_has_left(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certfile"], files["keyfile"])
    async with open_peer(ssl_context=context) as peer:
        with pytest.raises(NotSent):
            await exchange(Upstream(peer.url), QUESTION)
        assert peer.requests == []


async def test_while_it_waits_for_its_turn_nothing_has_left() -> None:
    async with open_peer(falls_silent) as peer, trio.open_nursery() as nursery:
        upstream = Upstream(peer.url, max_parallel=1)

        async def block() -> None:
            with pytest.raises(OutcomeUnknown):
                await exchange(upstream, QUESTION, within_s=1)

        nursery.start_soon(block)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(NotSent, match="in time"):
            await exchange(upstream, QUESTION, within_s=0.1)
        assert len(peer.requests) == 1
        nursery.cancel_scope.cancel()


async def test_a_kept_connection_that_breaks_is_not_asked_again_on_another() -> None:
    async def once(line: Line) -> None:
        await line.request()
        await line.send(answer(200, {"number": 1}))
        await line.request()

    async with open_peer(once) as peer, aclosing(Upstream(peer.url)) as upstream:
        assert (await exchange(upstream, QUESTION)).body == {"number": 1}
        with pytest.raises(OutcomeUnknown, match="broke off"):
            await exchange(upstream, QUESTION)
        assert (peer.connections, len(peer.requests)) == (1, 2)


async def test_a_kept_connection_that_was_closed_meanwhile_is_not_used() -> None:
    async def once(line: Line) -> None:
        await line.request()
        await line.send(answer(200, {"number": 1}))

    async with open_peer(once) as peer, aclosing(Upstream(peer.url)) as upstream:
        await exchange(upstream, QUESTION)
        await trio.sleep(0.05)
        await exchange(upstream, QUESTION)
        assert (peer.connections, len(peer.requests)) == (2, 2)


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (answer(200, {"a": [1]}), Answer(200, {"a": [1]})),
        (answer(503, b"<html>", b"Retry-After: 12"), Answer(503, None, 12.0)),
        (answer(429, None, b"Retry-After: soon"), Answer(429, None, None)),
        (answer(429, None, b"Retry-After: 999999"), Answer(429, None, 3600.0)),
        (answer(200, b'{"a":' + b"[" * 100_000), Answer(200, None)),
        (answer(400, b'"\xff"'), Answer(400, None)),
    ],
)
async def test_an_answer_is_what_can_be_read_of_it(sent: bytes, wanted: Answer) -> None:
    assert await ask(says(sent)) == wanted


async def test_of_a_body_that_breaks_off_only_the_status_is_left() -> None:
    assert await ask(says_half) == Answer(200, None)


async def test_what_may_be_asked_twice_is_never_unknown() -> None:
    async with open_peer(breaks_after_reading) as peer:
        with pytest.raises(NotSent):
            await harmless(Upstream(peer.url), QUESTION)


def test_a_place_that_is_not_there_holds_nothing() -> None:
    found = Answer(200, {"a": [{"b": "c"}], "n": 5})
    assert (found.text("a", 0, "b"), found.text("a", 1, "b"), found.text("a", "b"), found.text("n")) == (
        "c",
        "",
        "",
        "",
    )
    assert Answer(200, None).get("a") is Answer(200, [1]).get("a", 0) is None
