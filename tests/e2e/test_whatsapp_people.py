"""When people answer in place of a bot on WhatsApp, and when it cannot: what users get then, and what is paid."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import trio

from app.core.bot_config import BotConfig
from scripts.simulator.whatsapp.sayings import Saying
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, open_caller, until
from tests.e2e.receiver import open_receiver
from tests.e2e.whatsapp import SCOPES, Shop, open_shop

pytestmark = ON_BOTH
WORDS = BotConfig()


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with open_caller(database_url, customer=SCOPES) as opened:
        yield opened


async def shop_of(caller: Caller, **config: Any) -> Shop:
    return await open_shop(caller.house, caller.house.url, **config)


async def are(caller: Caller, *dispositions: str) -> None:
    """Wait until this has become of what users have written."""

    async def have_become() -> bool:
        return caller.rows("SELECT disposition FROM messages WHERE role = 'user' ORDER BY seq") == [
            (each,) for each in dispositions
        ]

    await until(have_become)


def talk(caller: Caller) -> tuple[str, str, bool]:
    """(id, status, whether the bot answers) of the only conversation."""
    ((talk_id, status, autoreply),) = caller.rows("SELECT id, status, autoreply FROM conversations")
    return talk_id, status, bool(autoreply)


def charged(caller: Caller) -> int:
    """How many calls were paid for."""
    return len(caller.rows("SELECT id FROM calls WHERE charge > 0"))


async def set_autoreply(caller: Caller, *, enabled: bool) -> None:
    reply = await caller.http.post(f"/api/v1/conversations/{talk(caller)[0]}/autoreply", json={"enabled": enabled})
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(("words", "paid"), [("Agent!", 0), ("[tool] I want a person", 1)], ids=["word", "function"])
async def test_whoever_asks_for_a_person_is_handed_over_once_and_the_bot_is_silent(
    caller: Caller, words: str, paid: int
) -> None:
    shop = await shop_of(caller)
    shop.say(words)
    assert [item["text"] for item in await shop.hears()] == [WORDS.handoff_message]
    shop.say("[tokens=8] Is anybody there?")
    await are(caller, "answered" if paid else "handoff", "human")
    assert talk(caller)[1:] == ("escalated", False)
    assert (len(shop.got()), charged(caller)) == (1, paid)


async def test_a_takeover_while_the_bot_writes_sends_nothing_charges_nothing_and_ends_the_call(caller: Caller) -> None:
    shop = await shop_of(caller)
    shop.say("[tag=cut] [first=300] [pace=20] [tokens=200] Tell me more")

    async def model_is_writing() -> bool:
        return any(record.tokens_sent for record in caller.upstream("cut"))

    await until(model_is_writing)
    await set_autoreply(caller, enabled=False)
    await are(caller, "human")
    assert (await caller.house.book.ended("cut")).outcome == "peer_closed"

    async def turn_is_given_up() -> bool:
        return caller.rows("SELECT state FROM turns") == [("dropped",)]

    await until(turn_is_given_up)
    await set_autoreply(caller, enabled=True)
    shop.say("[tokens=8] And now?")
    assert [item["text"] for item in await shop.hears()] == ["The market opens before the sun is up"]
    assert (shop.number.counts["sends"], charged(caller)) == (1, 1)


async def test_a_takeover_between_two_parts_keeps_the_rest_back(caller: Caller) -> None:
    shop = await shop_of(caller, max_tokens=4000)
    shop.number.pace.delivered_s, shop.number.pace.read_s = 1.0, None
    shop.say("[tokens=2000] Tell me everything")
    await shop.hears()
    await set_autoreply(caller, enabled=False)
    await trio.sleep(1.5)
    assert caller.rows("SELECT state, reason FROM sends ORDER BY part") == [
        ("delivered", ""),
        *[("dropped", "human_takeover")] * 2,
    ]
    assert len(shop.got()) == 1


async def test_a_member_who_writes_takes_over_and_is_part_of_what_the_bot_remembers(caller: Caller) -> None:
    shop = await shop_of(caller)
    shop.say("[tokens=8] Is there tea?")
    await shop.hears()
    body = {"conversation_id": talk(caller)[0], "text": "This is *Meera*: yes, from Assam."}
    assert (await caller.http.post("/api/v1/whatsapp/messages", json=body)).status_code == 202
    assert (await shop.hears(2))[1]["text"] == body["text"]
    shop.say("Thanks!")
    await are(caller, "answered", "human")
    await set_autoreply(caller, enabled=True)
    shop.say("[tokens=8] And coffee?")
    await shop.hears(3)
    told = [said for said in caller.upstream()[-1].body["messages"] if said["role"] == "assistant"]
    assert body["text"] in str(told)


async def test_what_the_business_writes_from_its_phone_silences_the_bot(caller: Caller) -> None:
    shop = await shop_of(caller)
    shop.say("[first=1500] [tokens=8] Is there tea?")
    await until(lambda: _model_is_asked(caller))
    shop.say(Saying(type="echo", text="Yes, I am putting the kettle on."))
    await are(caller, "human")
    assert (talk(caller)[2], shop.got(), charged(caller)) == (False, [], 0)


async def _model_is_asked(caller: Caller) -> bool:
    return bool(caller.upstream())


async def test_without_credit_users_are_told_so_once_and_no_model_is_asked(database_url: str) -> None:
    async with open_caller(database_url, customer=SCOPES | {"credit_ucr": 1}) as caller:
        shop = await shop_of(caller)
        shop.say("[tokens=8] Is there tea?")
        assert [item["text"] for item in await shop.hears()] == [WORDS.unavailable_message]
        shop.say("[tokens=8] Hello?")
        await are(caller, "no_credits", "no_credits")
        await trio.sleep(0.3)
        assert (len(shop.got()), caller.upstream(), charged(caller)) == (1, [], 0)
        assert talk(caller)[1] == "escalated"


async def test_a_model_that_fails_twice_in_a_row_calls_people_and_is_not_paid(caller: Caller) -> None:
    shop = await shop_of(caller)
    shop.say("[mock=bad_request] Is there tea?")
    assert (await shop.hears())[0]["text"] == WORDS.fallback_message
    shop.say("[mock=bad_request] Hello?")
    await shop.hears(2)
    await until(lambda: _is_escalated(caller))
    assert charged(caller) == 0


async def _is_escalated(caller: Caller) -> bool:
    return talk(caller)[1:] == ("escalated", False)


async def test_a_model_that_is_away_is_stood_in_for_though_the_bot_has_functions(database_url: str) -> None:
    async with open_caller(database_url, customer=SCOPES, sarvam_base_url="http://127.0.0.1:9") as caller:
        shop = await shop_of(caller, model="sarvam-105b", fallback_models=["sarvam-30b", "gpt-5.4-mini"])
        shop.say("[tokens=8] Is there tea?")
        assert [item["text"] for item in await shop.hears()] == ["The market opens before the sun is up"]
        (asked,) = caller.upstream()
        assert (asked.model, [tool["function"]["name"] for tool in asked.body["tools"]]) == (
            *("openai/gpt-5.4-mini", ["handoff"]),
        )
        await names_both_models(caller)


async def names_both_models(caller: Caller) -> None:
    """As everywhere: the usage goes by what was asked for, the receipt tells of what has answered, and the turn too."""
    ((call_id, asked_for),) = caller.rows("SELECT id, model FROM calls WHERE charge > 0")
    ((facts,),) = caller.rows("SELECT facts FROM turns")
    receipt = await caller.receipt(call_id)
    assert (asked_for, receipt["requested_model"]) == ("sarvam-105b", "sarvam-105b")
    assert (receipt["model"], msgspec.json.decode(facts)["model"]) == ("openai/gpt-5.4-mini", "openai/gpt-5.4-mini")
    models = (await caller.http.get("/api/v1/usage/summary")).json()["by_model"]
    assert [each["model"] for each in models] == ["sarvam-105b"]


async def test_webhooks_of_the_tenant_hear_of_each_message_once(database_url: str) -> None:
    async with (
        open_caller(database_url, customer=SCOPES, webhook_allow_private=True) as caller,
        open_receiver() as receiver,
    ):
        await caller.http.post("/api/v1/webhooks", json={"url": receiver.url, "events": ["*"]})
        shop = await shop_of(caller)
        shop.number.pace.read_s = None
        shop.say("[tokens=8] Is there tea?", duplicate=3)
        await shop.hears()
        await receiver.gets(4)
        await trio.sleep(0.3)
        told = sorted(request.event["event"] for request in receiver.received)
        assert told == ["conversation.started", "message.received", "message.sent", "message.status"]
        data = {request.event["event"]: request.event["data"] for request in receiver.received}
        assert data["message.received"]["text"] == "[tokens=8] Is there tea?"
        assert data["message.sent"]["text"] == "The market opens before the sun is up"
