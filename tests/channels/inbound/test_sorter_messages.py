"""A message is stored once in its conversation, opens the 24 hours, and a turn begins when it should."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from app.core.times import DAY_US
from app.storage import conversations, lanes
from channels.whatsapp.updates import Call, Echo, Media, MessageKind, Person
from tests.channels.mailroom import ASHA, NOW_S, SECOND, Mailroom, open_mailroom, text
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0

HOUR = 3600


@ON_BOTH
async def test_a_message_is_stored_with_its_conversation_and_all_that_was_said_of_it(room: Mailroom) -> None:
    media = Media("1003", "image/jpeg", "00ff", "https://x.example/", "a.jpg")
    await room.tell(text("wamid.A", "look", kind="image", media=media, reply_to="wamid.0", referral="Sale"))
    ((conversation, number, contact, external, status, bot),) = await room.rows(
        "conversations", "id, number_id, contact_id, external_id, status, bot_id"
    )
    assert (number, external, status, bot) == (room.number.id, ASHA.phone, "active", room.number.bot_id)
    columns = "conversation_id, role, content, message_type, author, author_id, provider_id, provider_at, disposition"
    assert await room.messages(columns) == [
        (conversation, "user", "look", "image", "contact", contact, "wamid.A", NOW_S * SECOND, "open")
    ]
    ((details,),) = await room.messages("details")
    assert msgspec.json.decode(details) == {
        "media": {
            "id": "1003",
            "media_type": "image/jpeg",
            "sha256": "00ff",
            "url": "https://x.example/",
            "name": "a.jpg",
        },
        "reply_to": "wamid.0",
        "referral": "Sale",
    }
    assert await room.rows("inbox", "state, error") == [("done", "")]


@ON_BOTH
async def test_what_is_told_ten_times_is_one_message_one_event_and_one_turn(room: Mailroom) -> None:
    await room.listen()
    new = [await room.bring(text("wamid.A"), text("wamid.A")) for _ in range(10)]
    await room.sort()
    assert new == [1, *[0] * 9]
    assert await room.messages() == [("hello",)]
    assert sorted(name for name, _ in await room.events()) == ["conversation.started", "message.received"]
    assert await room.rows("lanes", "touched") == [(1,)]


async def test_webhooks_hear_who_wrote_what_where(room: Mailroom) -> None:
    await room.listen()
    await room.tell(text("wamid.A", sender=Person(user_id="IN.1")))
    ((message, conversation),) = await room.messages("id, conversation_id")
    started, received = sorted(await room.events(), key=lambda event: event[0])
    who = {"channel": "whatsapp", "from": None, "user_id": "IN.1", "bot_id": room.number.bot_id}
    assert started == ("conversation.started", {"conversation_id": conversation, **who})
    assert received == (
        "message.received",
        {"conversation_id": conversation, **who, "message_id": message, "type": "text", "text": "hello"},
    )


async def test_messages_of_a_request_keep_their_order_and_go_on_in_one_conversation(room: Mailroom) -> None:
    await room.tell(*(text(f"wamid.{number}", str(number)) for number in range(300)))
    assert [words for (words,) in await room.messages()] == [str(number) for number in range(300)]
    assert len(await room.rows("conversations", "id")) == 1
    assert await room.rows("lanes", "touched") == [(300,)]


@pytest.mark.parametrize(
    ("kind", "waited_s"),
    [("text", 1.2), ("image", 2.7), ("voice", 2.7), ("document", 1.2), ("button", 0), ("list", 0), ("welcome", 0)],
)
async def test_a_turn_waits_for_more_as_long_as_the_kind_of_message_asks_for(
    room: Mailroom, kind: MessageKind, waited_s: float
) -> None:
    await room.tell(text("wamid.A", kind=kind))
    assert await room.rows("lanes", "due_at") == [(DAY_0 + round(waited_s * SECOND),)]


async def test_the_bots_own_patience_counts_and_never_more_than_its_most(database_url: str) -> None:
    config = {"debounce_seconds": 4, "debounce_most_seconds": 6}
    async with open_mailroom(database_url, config=config) as room:
        await room.tell(text("wamid.A"))
        assert await room.rows("lanes", "due_at") == [(DAY_0 + 4 * SECOND,)]
        room.clock.turn(3)
        await room.tell(text("wamid.B"))
        assert await room.rows("lanes", "due_at") == [(DAY_0 + 6 * SECOND,)]


async def test_the_window_is_open_for_24_hours_from_what_the_user_wrote_last_and_never_goes_back(
    room: Mailroom,
) -> None:
    await room.tell(text("wamid.B", at=NOW_S - 60))
    assert await room.rows("contacts", "window_until") == [(DAY_0 - 60 * SECOND + DAY_US,)]
    await room.tell(text("wamid.A", at=NOW_S - 3600))
    assert await room.rows("contacts", "window_until") == [(DAY_0 - 60 * SECOND + DAY_US,)]


@pytest.mark.parametrize("at", [0, NOW_S + 9999, 2**40])
async def test_a_provider_without_a_time_or_with_one_to_come_opens_the_window_from_now(room: Mailroom, at: int) -> None:
    await room.tell(text("wamid.A", at=at))
    assert await room.rows("contacts", "window_until") == [(DAY_0 + DAY_US,)]


async def test_another_handlers_message_is_kept_and_begins_no_turn(room: Mailroom) -> None:
    await room.tell(text("wamid.A", standby=True))
    assert await room.messages("disposition") == [("standby",)]
    assert await room.rows("lanes", "due_at") == []
    assert await room.rows("contacts", "window_until") == [(DAY_0 + DAY_US,)]


async def test_a_call_waits_for_a_turn_at_once_and_opens_the_window_but_its_end_is_nothing(room: Mailroom) -> None:
    await room.tell(Call("wacid.A", NOW_S, ASHA, "connect"), Call("wacid.B", NOW_S, ASHA, "terminate"))
    assert await room.messages("message_type, disposition, provider_id") == [("call", "open", "wacid.A")]
    assert await room.rows("lanes", "due_at") == [(DAY_0,)]
    assert await room.rows("contacts", "window_until") == [(DAY_0 + DAY_US,)]


@pytest.mark.parametrize("told", [1, 2])
@ON_BOTH
async def test_webhooks_hear_once_that_somebody_has_called_and_not_how_the_call_ended(
    room: Mailroom, told: int
) -> None:
    await room.listen()
    for _ in range(told):
        await room.tell(Call("wacid.A", NOW_S, ASHA, "connect"), Call("wacid.B", NOW_S, ASHA, "terminate"))
    ((message, conversation),) = await room.messages("id, conversation_id")
    (received,) = [data for event, data in await room.events() if event == "message.received"]
    who = {"channel": "whatsapp", "from": ASHA.phone, "user_id": ASHA.user_id or None, "bot_id": room.number.bot_id}
    assert received == {"conversation_id": conversation, **who, "message_id": message, "type": "call", "text": ""}


async def test_an_answer_from_the_business_phone_silences_the_bot(room: Mailroom) -> None:
    await room.tell(text("wamid.A"), Echo("wamid.E", NOW_S, ASHA, "text", "I am here"))
    assert await room.messages("content, role, author, disposition, status") == [
        ("hello", "user", "contact", "human", ""),
        ("I am here", "assistant", "phone", "echo", "sent"),
    ]
    assert await room.rows("conversations", "autoreply, status") == [(0, "active")]
    assert await room.rows("contacts", "window_until") == [(DAY_0 + DAY_US,)]


async def test_an_echo_of_what_we_sent_ourselves_changes_nothing(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    await room.do("UPDATE messages SET role = 'assistant', provider_id = 'wamid.E'")
    await room.tell(Echo("wamid.E", NOW_S, ASHA, "text", "ours"))
    assert await room.messages() == [("hello",)]
    assert await room.rows("conversations", "autoreply") == [(1,)]


async def test_after_a_day_without_a_word_another_conversation_begins(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    room.clock.turn(24 * HOUR - 1)
    await room.tell(text("wamid.B"))
    assert await room.rows("conversations", "status") == [("active",)]
    await room.listen()
    room.clock.turn(24 * HOUR)
    await room.tell(text("wamid.C"))
    assert await room.rows("conversations", "status", "created_at") == [("completed",), ("active",)]
    assert sorted(name for name, _ in await room.events()) == [
        *("conversation.ended", "conversation.started", "message.received")
    ]
    (first, _), (second, _), (third, contact) = await room.messages("conversation_id, author_id")
    assert first == second != third
    assert await room.rows("contacts", "conversation_id, id") == [(third, contact)]


async def test_what_people_have_taken_over_goes_on_until_they_end_it(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    ((conversation,),) = await room.rows("conversations", "id")
    set_status = conversations.set_status
    await room.db.write(
        room.tenant_id, lambda db: set_status(db, room.tenant_id, conversation, "escalated", room.clock())
    )
    room.clock.turn(99 * HOUR)
    await room.tell(text("wamid.B"))
    assert await room.rows("conversations", "status") == [("escalated",)]
    await room.db.write(
        room.tenant_id, lambda db: set_status(db, room.tenant_id, conversation, "completed", room.clock())
    )
    await room.tell(text("wamid.C"))
    assert await room.rows("conversations", "status", "created_at") == [("completed",), ("active",)]


async def test_a_number_that_is_given_to_another_bot_begins_anew(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    await room.do(
        "INSERT INTO bots (tenant_id, id, type, name, system_prompt, config, secrets, is_active, created_at, "
        "updated_at) SELECT tenant_id, 'other', type, 'Ravi', '', '{}', '', 1, created_at, updated_at FROM bots"
    )
    await room.do("UPDATE numbers SET bot_id = 'other'")
    room.clock.turn(60)
    await room.tell(text("wamid.B"))
    assert await room.rows("conversations", "bot_id, status", "created_at") == [
        (room.number.bot_id, "completed"),
        ("other", "active"),
    ]


@ON_BOTH
async def test_a_conversation_beyond_the_plans_is_stored_and_not_answered(room: Mailroom) -> None:
    room.plans["pro"] = replace(room.plans["pro"], conversations=2)
    people = [Person(f"+9198765432{number}") for number in range(3)]
    await room.tell(*(text(f"wamid.{number}", sender=who) for number, who in enumerate(people)))
    room.clock.turn(1)
    await room.tell(text("wamid.again", sender=people[2]), text("wamid.first", sender=people[0]))
    told = await room.messages("provider_id, disposition")
    assert told == [
        *(("wamid.0", "open"), ("wamid.1", "open"), ("wamid.2", "cap"), ("wamid.again", "cap")),
        ("wamid.first", "open"),
    ]
    assert sorted(await room.rows("conversations", "flag")) == [("",), ("",), ("cap",)]
    room.plans["pro"] = replace(room.plans["pro"], conversations=3)
    await room.tell(text("wamid.upgraded", sender=people[2]))
    assert (await room.messages("disposition"))[-1] == ("open",)
    assert sorted(await room.rows("conversations", "flag")) == [("",), ("",), ("",)]


async def test_the_month_of_the_plan_is_the_calendars(room: Mailroom) -> None:
    room.plans["pro"] = replace(room.plans["pro"], conversations=1)
    await room.tell(text("wamid.A"))
    room.clock.turn(20 * 24 * HOUR + 11 * HOUR)  # the last hour of 30 November
    await room.tell(text("wamid.B"))
    room.clock.turn(25 * HOUR)
    await room.tell(text("wamid.C"))
    assert await room.messages("disposition") == [("open",), ("cap",), ("open",)]


async def test_a_number_without_a_bot_makes_dead_letters_that_can_be_tried_again(database_url: str) -> None:
    async with open_mailroom(database_url, has_bot=False) as room:
        await room.tell(text("wamid.A"), Echo("wamid.E", NOW_S, ASHA, "text"), Call("wacid.A", NOW_S, ASHA, "connect"))
        assert await room.rows("inbox", "state, error") == [("dead", "no bot")] * 3
        assert (
            await room.rows("dead_letters", "reason, account, provider, number_id")
            == [("no bot", "1065", "meta", room.number.id)] * 3
        )
        assert (await room.messages(), await room.rows("conversations", "id")) == ([], [])


async def test_a_bot_that_is_off_or_gone_hears_all_the_same(room: Mailroom) -> None:
    await room.do("UPDATE bots SET is_active = 0, deleted_at = 1, config = '{}'")
    await room.tell(text("wamid.A"))
    assert await room.messages("disposition") == [("open",)]
    lane = await room.db.read(
        room.tenant_id,
        lambda db: [lanes.find(db, room.tenant_id, row[0]) for row in db.all("SELECT id FROM conversations")],
    )
    assert lane[0] is not None
    assert lane[0].due_us == DAY_0 + round(1.2 * SECOND)


async def test_a_message_from_nobody_is_a_dead_letter(room: Mailroom) -> None:
    await room.tell(text("wamid.A", sender=Person(name="?")))
    assert await room.rows("inbox", "state, error") == [("dead", "nobody is named as its sender")]
