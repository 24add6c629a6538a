"""Both lines against the simulated providers: what one writes the other reads, with no script in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import msgspec
import pytest
import trio

from app.providers.upstream import Upstream
from app.providers.whatsapp.graph import GraphLine
from app.providers.whatsapp.line import (
    Checked,
    ChoiceContent,
    FileWanted,
    Letter,
    Line,
    MediaContent,
    Recipient,
    Refused,
    Sent,
    TextContent,
)
from app.providers.whatsapp.media import Downloads, metas, twilios
from app.providers.whatsapp.twilio import Account, TwilioLine
from scripts.simulator.book import Book
from scripts.simulator.server import serve
from tests.providers.peer import Peer, answer_ok, open_peer
from tests.providers.whatsapp.talking import AUTH_TOKEN, SID, TOKEN, USER, parts

META, TWILIO = "106540352242922", "+14155238887"
CHOICES = ChoiceContent("Well?", tuple((f"id{number}", f"Choice {number}") for number in range(5)))
Json = dict[str, Any]


@dataclass
class Town:
    """The simulated providers with a number each, and whoever their webhooks are posted to."""

    client: httpx2.AsyncClient
    hooks: Peer
    graph: GraphLine
    twilio: TwilioLine

    async def desk(self, path: str, body: Json) -> Json:
        answered = await self.client.post(f"/whatsapp/{path}", json=body)
        assert answered.status_code == 200, answered.text
        return dict(answered.json())

    async def say(self, account: str, kind: str) -> bytes:
        """The body of the webhook that tells of it."""
        user = {"phone": USER, "user_id": "US.1349", "name": "Asha"}
        message = {"type": kind, "text": "Hello" if kind == "text" else ""}
        await self.desk("say", {"account": account, "from": user, "messages": [message], "wait_s": 5})
        return parts(self.hooks.requests[-1])[2]


@pytest.fixture
async def town(nursery: trio.Nursery) -> AsyncIterator[Town]:
    url = await nursery.start(partial(serve, book=Book()))
    graph, twilio = Upstream(f"{url}/graph/v25.0"), Upstream(f"{url}/twilio")
    async with (
        open_peer(answer_ok) as hooks,
        httpx2.AsyncClient(base_url=url, timeout=10, trust_env=False) as client,
    ):
        town = Town(
            *(client, hooks),
            GraphLine(graph, Downloads(url, metas), phone_number_id=META, token=TOKEN),
            TwilioLine(
                *(twilio, twilio, Downloads(url, twilios)),
                account=Account(SID, AUTH_TOKEN),
                from_number=TWILIO,
                status_callback=lambda reference: f"{hooks.url}/status/{reference}",
            ),
        )
        common = {"callback_url": hooks.url}
        await town.desk("numbers", common | {"provider": "meta", "account": META, "phone": "+1415", "token": TOKEN})
        credentials = {"account_sid": SID, "auth_token": AUTH_TOKEN, "redirect_media": True}
        await town.desk("numbers", common | credentials | {"provider": "twilio", "phone": TWILIO})
        yield town
        await graph.aclose()
        await twilio.aclose()


def letter(content: Any, to: str = USER) -> Letter:
    return Letter(Recipient(to), content, "row-1")


async def test_the_secrets_of_a_number_open_it(town: Town) -> None:
    assert await town.graph.check() == Checked("+1415", "Simulated Business", 80)
    assert (await town.twilio.check()).phone == TWILIO


async def test_a_number_belongs_to_its_own_account_only(town: Town) -> None:
    for other in range(120):
        await town.desk(
            "numbers", {"provider": "meta", "account": f"2{other}", "business": "W2", "phone": f"+1416{other}"}
        )
    await town.desk(
        "numbers", {"provider": "meta", "account": "1", "business": "W1", "phone": "+1417", "token": "other"}
    )
    moved = {"account": META, "business": "W2", "phone": "+1415", "token": TOKEN}
    await town.desk("numbers", {"provider": "meta"} | moved)
    assert await town.graph.belongs_to("W2")
    with pytest.raises(Refused) as refused:
        await town.graph.belongs_to("W1")
    assert refused.value.code == "100"
    assert (await town.twilio.belongs_to(SID), await town.twilio.belongs_to("W2")) == (True, False)


@pytest.mark.parametrize("provider", ["meta", "twilio"])
async def test_in_an_open_window_texts_and_choices_arrive(town: Town, provider: str) -> None:
    line: Line = town.graph if provider == "meta" else town.twilio
    await town.say(META if provider == "meta" else TWILIO, "text")
    for content in (TextContent("Hello"), CHOICES):
        assert isinstance(await line.send(letter(content)), Sent)


async def test_outside_of_the_window_meta_says_so(town: Town) -> None:
    with pytest.raises(Refused) as raised:
        await town.graph.send(letter(TextContent("Hello"), "+16505559999"))
    assert raised.value.kind == "window"


async def test_an_upload_can_be_sent(town: Town) -> None:
    await town.say(META, "text")
    media_id = await town.graph.upload(b"OggS\0\x02 a voice note", "audio/ogg; codecs=opus", "voice.ogg")
    sent = await town.graph.send(letter(MediaContent("audio", media_id, voice=True)))
    assert sent.provider_id.startswith("wamid.")


async def test_a_voice_note_of_metas_is_fetched_by_its_id(town: Town) -> None:
    told = msgspec.json.decode(await town.say(META, "voice"))
    audio = told["entry"][0]["changes"][0]["value"]["messages"][0]["audio"]
    wanted = FileWanted(audio["id"], "", audio["mime_type"], audio["sha256"])
    file = await town.graph.fetch(wanted, 16_000_000)
    assert (file.media_type, file.data[:4]) == ("audio/ogg", b"OggS")


async def test_an_image_of_twilios_is_fetched_through_its_redirect(town: Town) -> None:
    told = dict(parse_qsl((await town.say(TWILIO, "image")).decode()))
    file = await town.twilio.fetch(FileWanted(url=told["MediaUrl0"], media_type=told["MediaContentType0"]), 16_000_000)
    assert file.media_type == "image/png"


async def test_twilio_finds_what_it_has_had(town: Town) -> None:
    await town.say(TWILIO, "text")
    sent = await town.twilio.send(letter(TextContent("Once")))
    now = msgspec.json.decode((await town.client.get("/whatsapp/book")).content)["now"]
    assert await town.twilio.find(letter(TextContent("Once")), now - 60) == sent
    assert await town.twilio.find(letter(TextContent("Never")), now - 60) is None
