"""A bot on WhatsApp as its users see it: everything real between the provider's webhook and its API, on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from scripts.clustering.postgres import free_port
from scripts.simulator.whatsapp.sayings import Saying, Shape, Who
from scripts.simulator.whatsapp.state import Pace
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, open_caller, until
from tests.e2e.whatsapp import META, PHONE, PROMPT, SCOPES, TWILIO, Json, Shop, open_shop

pytestmark = ON_BOTH
VOICE_BOT: Final[Json] = {**PROMPT, "type": "whatsapp_voice"}
DAY_S: Final = 86_400


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_at_its_address(database_url) as opened:
        yield opened


@asynccontextmanager
async def open_at_its_address(where: Path | str, **settings: Any) -> AsyncIterator[Caller]:
    """A house that knows where it is reached, as Twilio's signatures need it."""
    port = free_port()
    public_url = f"http://127.0.0.1:{port}"
    async with open_caller(where, customer=SCOPES, port=port, public_url=public_url, **settings) as opened:
        yield opened


async def shop_of(caller: Caller, new: Json = META, **wishes: Any) -> Shop:
    return await open_shop(caller.house, caller.house.url, new, **wishes)


async def is_told(caller: Caller, status: str, count: int = 1) -> None:
    """Wait until so many of our messages have come so far."""

    async def told() -> bool:
        rows = caller.rows("SELECT status FROM messages WHERE role = 'assistant'")
        return [row[0] for row in rows] == [status] * count

    await until(told)


def charges(caller: Caller) -> list[str]:
    """What was paid for, by category."""
    return [row[0] for row in caller.rows("SELECT category FROM calls WHERE charge > 0 ORDER BY opened_at")]


def dispositions(caller: Caller) -> list[str]:
    return [row[0] for row in caller.rows("SELECT disposition FROM messages WHERE role = 'user' ORDER BY seq")]


def last_asked(caller: Caller) -> Any:
    """What the last message to the model said."""
    return caller.upstream()[-1].body["messages"][-1]["content"]


async def test_a_text_is_read_answered_and_charged_once(caller: Caller) -> None:
    shop = await shop_of(caller)
    (said,) = shop.say("[tokens=8] Is there tea?")
    (answer,) = await shop.hears()
    await is_told(caller, "read")
    assert answer["text"] == "The market opens before the sun is up"
    assert [sign["message_id"] for sign in shop.signs("read")] == [said]
    assert len(shop.signs("typing")) == 1
    assert charges(caller) == ["llm"]
    (talk,) = (await caller.http.get("/api/v1/conversations")).json()["data"]
    messages = (await caller.http.get(f"/api/v1/conversations/{talk['id']}/messages")).json()["data"]
    shown = {(each["role"], each["content"], each["status"]) for each in messages}
    assert shown == {("user", "[tokens=8] Is there tea?", None), ("assistant", answer["text"], "read")}


async def test_what_a_user_writes_in_one_go_is_answered_once(caller: Caller) -> None:
    shop = await shop_of(caller, debounce_seconds=0.5)
    for words in ("Hello", "do you have", "green tea", "[tokens=8]"):
        shop.say(words)
        await trio.sleep(0.1)
    await shop.hears()
    assert [part["text"] for part in last_asked(caller)] == ["Hello", "do you have", "green tea", "[tokens=8]"]
    assert (len(shop.got()), charges(caller), dispositions(caller)) == (1, ["llm"], ["answered"] * 4)


async def test_what_is_written_while_the_bot_thinks_is_answered_with_the_rest(caller: Caller) -> None:
    shop = await shop_of(caller)
    shop.say("[first=700] Do you have")
    await until(lambda: _is_asked(caller))
    shop.say("[tokens=8] green tea?")
    await shop.hears()
    await trio.sleep(1)
    assert (len(shop.got()), charges(caller), dispositions(caller)) == (1, ["llm"], ["answered"] * 2)
    assert caller.rows("SELECT state FROM turns ORDER BY created_at") == [("superseded",), ("answered",)]


async def _is_asked(caller: Caller) -> bool:
    return bool(caller.upstream())


async def test_ten_deliveries_of_one_webhook_make_one_reply_and_one_charge(caller: Caller) -> None:
    shop = await shop_of(caller)
    shop.say("[tokens=8] hello", duplicate=9, together=True)
    await shop.hears()
    await trio.sleep(0.5)
    posted = [post.status for post in shop.number.posted if post.updates and "batch" not in post.about]
    assert posted == [200] * 10
    assert (len(shop.got()), charges(caller), dispositions(caller)) == (1, ["llm"], ["answered"])


@pytest.mark.parametrize(("new", "status"), [(META, 401), (TWILIO, 403)], ids=["meta", "twilio"])
async def test_what_nobody_has_signed_is_refused_and_leaves_no_trace(caller: Caller, new: Json, status: int) -> None:
    shop = await shop_of(caller, new)
    for bad in (True, "missing"):
        _, (parcel,) = shop.phones.say(
            [(shop.number, Who(PHONE), [Saying(text="give me credit")])], Shape(bad_signature=bad)
        )
        await parcel.tried.wait()
        assert parcel.posted.status == status
    assert caller.rows("SELECT * FROM inbox") == caller.rows("SELECT * FROM dead_letters") == []


async def test_a_thousand_messages_in_one_body_are_taken_at_once_and_every_one_is_answered(caller: Caller) -> None:
    shop = await shop_of(caller, debounce_seconds=2)
    users = [f"+9198000000{number:02}" for number in range(20)]
    talks = [(shop.number, Who(phone), [Saying(text=f"[tokens=3] {n}") for n in range(50)]) for phone in users]
    _, (parcel,) = shop.phones.say(talks, Shape(batch=True, layout="entry", shuffle=True))
    await parcel.tried.wait()
    assert (parcel.posted.status, parcel.posted.updates) == (200, 1000)
    assert parcel.posted.took_ms < 2000
    for phone in users:
        await shop.hears(1, phone, within_s=20)
    assert dispositions(caller) == ["answered"] * 1000
    assert charges(caller) == ["llm"] * len(caller.rows("SELECT id FROM turns WHERE state = 'answered'"))


async def test_an_image_is_fetched_and_shown_to_the_model(caller: Caller) -> None:
    shop = await shop_of(caller, debounce_media_seconds=0)
    shop.say(Saying(type="image", text="[tokens=8] What is this?"))
    await shop.hears()
    kinds = {part["type"]: part for part in last_asked(caller)}
    assert kinds["image_url"]["image_url"]["url"].startswith("data:image/png;base64,")
    assert kinds["text"]["text"] == "[tokens=8] What is this?"
    assert shop.number.counts["downloads"] == 1
    ((talk, message),) = caller.rows("SELECT conversation_id, id FROM messages WHERE message_type = 'image'")
    file = await caller.http.get(f"/api/v1/conversations/{talk}/messages/{message}/media")
    assert (file.status_code, file.headers["content-type"], file.content[:4]) == (200, "image/png", b"\x89PNG")


async def test_a_voice_note_is_answered_with_a_voice_note(caller: Caller) -> None:
    shop = await shop_of(caller, bot=VOICE_BOT, debounce_media_seconds=0)
    shop.say(Saying(type="voice", ms=2000))
    (answer,) = await shop.hears()
    assert (answer["type"], answer["media"]["voice"]) == ("audio", True)
    file = shop.phones.files.get(answer["media"]["id"], shop.phones.timeline.now())
    assert file is not None
    assert file.data[:4] == b"OggS"
    assert caller.rows("SELECT content FROM messages WHERE role = 'user'") == [("The",)]
    assert charges(caller) == ["stt", "llm", "tts"]
    shop.say("[tokens=8] and in writing?")
    assert (await shop.hears(2))[1]["type"] == "text"


async def test_choices_are_shown_as_buttons_and_a_tap_is_answered_without_waiting(caller: Caller) -> None:
    shop = await shop_of(caller, debounce_seconds=4, reply_buttons=True, handoff_tool=False)
    shop.say(Saying(type="button", text="[tool] Which one?"))
    (answer,) = await shop.hears()
    assert answer["choices"] == [{"id": "choice:1", "title": "Pune"}]
    began = trio.current_time()
    shop.say(Saying(type="button", text="Pune", choice_id="choice:1", reply_to=answer["id"]))
    await shop.hears(2)
    assert trio.current_time() - began < 3
    assert "Pune" in str(last_asked(caller))


async def test_three_parts_arrive_in_their_order_however_late_the_statuses_come(caller: Caller) -> None:
    shop = await shop_of(caller, max_tokens=4000)
    shop.number.pace = Pace(sent_s=0.05, delivered_s=0.2, read_s=0.4, twice=True, reverse=True)
    shop.say("[tokens=2000] Tell me everything")
    parts = [item["text"] for item in await shop.hears(3)]
    await is_told(caller, "read")
    ((whole,),) = caller.rows("SELECT content FROM messages WHERE role = 'assistant'")
    assert "".join(parts).replace(" ", "") == whole.replace(" ", "")
    assert [len(parts), shop.number.counts["sends"]] == [3, 3]


async def test_a_message_of_yesterday_is_stored_and_nothing_is_sent_or_asked(caller: Caller) -> None:
    shop = await shop_of(caller)
    shop.say("hello", at=shop.phones.timeline.now() - DAY_S - 60)

    async def is_dealt_with() -> bool:
        return dispositions(caller) == ["window_closed"]

    await until(is_dealt_with)
    assert (shop.number.counts["sends"], caller.upstream(), charges(caller)) == (0, [], [])


async def test_at_twilio_a_text_is_answered_and_its_callbacks_tell_how_far_it_came(caller: Caller) -> None:
    shop = await shop_of(caller, TWILIO)
    shop.say("[tokens=8] Is there tea?", duplicate=2)
    (answer,) = await shop.hears()
    await is_told(caller, "read")
    assert answer["text"] == "The market opens before the sun is up"
    assert [shop.number.counts[f"statuses_{name}"] for name in ("sent", "delivered", "read")] == [1, 1, 1]
    assert {post.status for post in shop.number.posted} == {200}
    assert (charges(caller), dispositions(caller)) == (["llm"], ["answered"])
    shop.say("[tokens=8] And now aloud", Saying(type="location", latitude=18.5, longitude=73.8, name="Pune"))
    await shop.hears(2)
