"""The line of each connected number: whose secrets it speaks with, and what happens when they cannot be opened."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import msgspec
import pytest
import trio

from app.core.errors import Problem
from app.core.numbers import Secrets, secrets_context
from app.core.sealing import Sealer
from app.providers.whatsapp.graph import GraphLine
from app.providers.whatsapp.line import Letter, Line, Recipient, Sent, TextContent
from app.providers.whatsapp.twilio import TwilioLine
from app.storage.numbers import StoredNumber
from channels.numbers import lines
from channels.numbers.lines import Lines, open_lines
from tests.providers.peer import Line as PeerLine
from tests.providers.peer import open_peer
from tests.providers.whatsapp.talking import answer, parts, says, sent_form

SEALER = Sealer("s" * 32)
META = Secrets(access_token="token-1")
TWILIO = Secrets(auth_token="auth-1")
LETTER = Letter(Recipient("+16505551234"), TextContent("Hello"), "row-1")


def number(
    secrets: Secrets | None,
    *,
    provider: str = "meta",
    id: str = "n1",
    tenant: str = "t1",
    updated_us: int = 1,
    account: str = "1065",
) -> StoredNumber:
    data = b"" if secrets is None else msgspec.json.encode(secrets)
    sealed = SEALER.seal(data, secrets_context(tenant, id)) if data else ""
    return StoredNumber(
        id=id,
        provider=provider,
        account=account,
        business="AC1" if provider == "twilio" else "waba",
        phone="+14155238886",
        name="Acme",
        bot_id=None,
        secrets=sealed,
        verify_digest="",
        state="connected",
        error="",
        verified_us=1,
        checked_us=1,
        autoreply=True,
        per_second=80,
        simulated=False,
        created_us=1,
        updated_us=updated_us,
    )


def opened(
    url: str, sealer: Sealer = SEALER, public_url: str = "https://ours.example/"
) -> AbstractAsyncContextManager[Lines]:
    return open_lines(sealer, graph_url=f"{url}/v25.0", twilio_url=url, twilio_messaging_url=url, public_url=public_url)


def refusal(made: Lines, stored: StoredNumber, tenant: str = "t1") -> str:
    with pytest.raises(Problem) as raised:
        made.of(tenant, stored)
    assert raised.value.code == "conflict"
    return raised.value.message


async def test_a_number_at_meta_speaks_with_its_token_as_its_id() -> None:
    sent = answer(200, {"messages": [{"id": "wamid.A"}]})
    async with open_peer(says(sent)) as peer, opened(peer.url) as made:
        line = made.of("t1", number(META))
        assert isinstance(line, GraphLine)
        assert await line.send(LETTER) == Sent("wamid.A")
    first, headers, _ = parts(peer.requests[0])
    assert (first, headers["authorization"]) == (b"POST /v25.0/1065/messages HTTP/1.1", "Bearer token-1")


@pytest.mark.parametrize(
    ("public_url", "told"),
    [("https://ours.example", ["https://ours.example/api/v1/webhooks/twilio/whatsapp-status/n1/row-1"]), ("", [])],
)
async def test_a_number_at_twilio_is_told_where_to_say_how_it_went(public_url: str, told: list[str]) -> None:
    sent = answer(201, {"sid": "SM1"})
    stored = number(TWILIO, provider="twilio", account="+14155238886")
    async with open_peer(says(sent)) as peer, opened(peer.url, public_url=public_url) as made:
        line = made.of("t1", stored)
        assert isinstance(line, TwilioLine)
        assert await line.send(LETTER) == Sent("SM1")
    form = sent_form(peer.requests[0])
    assert parts(peer.requests[0])[0] == b"POST /2010-04-01/Accounts/AC1/Messages.json HTTP/1.1"
    assert ("From", "whatsapp:+14155238886") in form
    assert [value for name, value in form if name == "StatusCallback"] == told


async def test_a_line_is_made_once_until_its_number_changes() -> None:
    async with opened("http://127.0.0.1:9") as made:
        first: Line = made.of("t1", number(META))
        assert made.of("t1", number(META)) is first
        assert made.of("t1", number(META, updated_us=2)) is not first
        assert made.of("t1", number(META, id="n2")) is not first


async def test_another_tenant_does_not_get_the_line_of_the_first() -> None:
    async with opened("http://127.0.0.1:9") as made:
        stored = number(META)
        made.of("t1", stored)
        assert refusal(made, stored, "t2") == lines.SEALED_ELSEWHERE


async def test_a_line_that_was_kept_is_forgotten_for_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "KEPT", 2)
    async with opened("http://127.0.0.1:9") as made:
        stored = {id: number(META, id=id) for id in ("n1", "n2", "n3")}
        first, second = made.of("t1", stored["n1"]), made.of("t1", stored["n2"])
        assert made.of("t1", stored["n1"]) is first
        made.of("t1", stored["n3"])
        assert made.of("t1", stored["n1"]) is first
        assert made.of("t1", stored["n2"]) is not second


async def test_secrets_that_cannot_be_opened_are_to_be_entered_again() -> None:
    async with opened("http://127.0.0.1:9", Sealer("another secret, also long enough")) as made:
        assert refusal(made, number(META)) == lines.SEALED_ELSEWHERE
        assert refusal(made, number(META)._replace(secrets="no base64")) == lines.SEALED_ELSEWHERE
    async with opened("http://127.0.0.1:9") as made:
        odd = SEALER.seal(b'{"access_token": 5}', secrets_context("t1", "n1"))
        assert refusal(made, number(META)._replace(secrets=odd)) == lines.SEALED_ELSEWHERE


@pytest.mark.parametrize(
    "stored",
    [
        number(None),
        number(Secrets(app_secret="x")),
        number(META, provider="twilio"),
        number(TWILIO, provider="twilio")._replace(business=""),
    ],
)
async def test_a_number_without_what_it_needs_is_not_connected(stored: StoredNumber) -> None:
    async with opened("http://127.0.0.1:9") as made:
        assert refusal(made, stored) == lines.NOT_CONNECTED


async def test_the_connections_are_closed_with_the_block() -> None:
    async def accept(peers: PeerLine) -> None:
        await peers.request()
        await peers.send(answer(200, {"messages": [{"id": "wamid.A"}]}))
        await peers.hold()

    async with open_peer(accept) as peer:
        async with opened(peer.url) as made:
            await made.of("t1", number(META)).send(LETTER)
            assert not peer.hung_up.is_set()
        with trio.fail_after(1):
            await peer.hung_up.wait()
