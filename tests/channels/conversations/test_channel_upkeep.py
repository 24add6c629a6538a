"""Conversations end for want of a word, what is too old goes, dead letters can be looked at and tried again."""

from __future__ import annotations

import msgspec
import pytest

from app.core.dead_letters import DeadLetterQuery
from app.core.errors import Problem
from app.storage import inbox
from app.storage.database import EVERY_TENANT, Transaction
from app.storage.inbox import NewEvent
from channels.conversations import upkeep
from channels.conversations.upkeep import ChannelUpkeep
from channels.inbound.dead_letters import DeadLetters
from channels.inbound.keeping import NOBODY
from channels.whatsapp.updates import Person
from tests.channels.mailroom import (
    APP_SECRET,
    Mailroom,
    add_number,
    envelope,
    meta_text,
    open_mailroom,
    signature,
    text,
)
from tests.databases import ON_BOTH
from tests.storage.making import make_tenant

HOUR = 3600
DAY = 24 * HOUR


def keeper(room: Mailroom) -> ChannelUpkeep:
    return ChannelUpkeep(room.db, inbox_days=30, clock=room.clock)


@ON_BOTH
async def test_a_conversation_ends_a_day_after_its_last_word_once(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    await room.do("UPDATE messages SET disposition = 'answered'")
    await room.listen()
    room.clock.turn(DAY - 1)
    assert await keeper(room).end_idle() == 0
    room.clock.turn(1)
    assert [await keeper(room).end_idle(), await keeper(room).end_idle()] == [1, 0]
    assert await room.rows("conversations", "status") == [("completed",)]
    ((conversation, bot),) = await room.rows("conversations", "id, bot_id")
    who = {"channel": "whatsapp", "from": "+919876543210", "user_id": "IN.1", "bot_id": bot}
    assert await room.events() == [("conversation.ended", {"conversation_id": conversation, **who})]


async def test_each_bot_waits_as_long_as_it_says(database_url: str) -> None:
    async with open_mailroom(database_url, config={"idle_hours": 2}) as room:
        patient = await room.db.write(
            room.tenant_id, lambda db: add_number(db, room.tenant_id, account="2", config={"idle_hours": 168})
        )
        await room.tell(text("wamid.A"))
        await room.tell(text("wamid.B"), number=patient)
        await room.do("UPDATE messages SET disposition = 'answered'")
        room.clock.turn(2 * HOUR)
        assert await keeper(room).end_idle() == 1
        assert sorted(await room.rows("conversations", "number_id, status")) == sorted(
            [(room.number.id, "completed"), (patient.id, "active")]
        )


async def test_what_waits_for_an_answer_or_for_people_does_not_end(room: Mailroom) -> None:
    await room.tell(text("wamid.A"), text("wamid.B", sender=Person("+1")))
    await room.do("UPDATE messages SET disposition = 'answered' WHERE provider_id = 'wamid.B'")
    await room.do("UPDATE conversations SET status = 'escalated' WHERE external_id = '+1'")
    room.clock.turn(30 * DAY)
    assert await keeper(room).end_idle() == 0


async def test_more_than_a_page_ends_past_those_that_stay(room: Mailroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PAGE", 3)
    await room.tell(*(text(f"wamid.{number}", sender=Person(f"+{number}")) for number in range(10)))
    await room.do("UPDATE messages SET disposition = 'answered' WHERE provider_id <> 'wamid.0'")
    room.clock.turn(DAY)
    assert await keeper(room).end_idle() == 9


@ON_BOTH
async def test_the_inbox_forgets_after_its_days_and_letters_after_ninety(room: Mailroom) -> None:
    await room.tell(text("wamid.A"), text("wamid.B", sender=Person()))
    room.clock.turn(30 * DAY)
    await room.tell(text("wamid.C"))
    assert await keeper(room).sweep_inbox() == 0
    room.clock.turn(1)
    assert [await keeper(room).sweep_inbox(), await keeper(room).sweep_inbox()] == [2, 0]
    assert await room.rows("inbox", "event_key") == [("wamid.C",)]
    assert await keeper(room).sweep_letters() == 0
    room.clock.turn(60 * DAY)
    assert [await keeper(room).sweep_letters(), await keeper(room).sweep_letters()] == [1, 0]


def desk(room: Mailroom) -> DeadLetters:
    return DeadLetters(room.db, bell=room.bell, clock=room.clock)


@ON_BOTH
async def test_letters_are_listed_newest_first_page_by_page_to_their_own_only(room: Mailroom) -> None:
    for number in range(5):
        room.clock.turn(1)
        body = envelope(("1065", {"messages": [{"n": number}]}))
        await room.intake.take_shared_meta(body, signature(APP_SECRET, body))
    letters, seen, cursor = desk(room), [], None
    while True:
        page = await letters.page(room.tenant_id, DeadLetterQuery(limit=2, before=cursor))
        seen += [letter.id for letter in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    times = [row[0] for row in await room.rows("dead_letters", "id", "received_at DESC")]
    assert seen == times
    assert (await letters.page("another", DeadLetterQuery())).data == []
    with pytest.raises(Problem) as raised:
        await letters.find("another", seen[0])
    assert raised.value.code == "not_found"


@ON_BOTH
async def test_a_letter_for_want_of_a_bot_is_answered_once_there_is_one(database_url: str) -> None:
    async with open_mailroom(database_url, has_bot=False) as room:
        await room.tell(text("wamid.A"))
        ((letter_id,),) = await room.rows("dead_letters", "id")
        await room.do("UPDATE numbers SET bot_id = (SELECT id FROM bots)")
        room.clock.turn(60)
        await desk(room).replay(room.tenant_id, letter_id)
        again = await desk(room).replay(room.tenant_id, letter_id)
        await room.sort()
        await room.sorter.sort_portion(room.tenant_id)
        assert await room.rows("inbox", "state, error") == [("done", "")]
        assert await room.messages("content, disposition") == [("hello", "open")]
        await desk(room).replay(room.tenant_id, letter_id)
        await room.sort()
        assert len(await room.messages()) == 1
        assert again.replayed_at is not None


async def test_a_letter_for_a_number_of_nobody_reaches_whoever_has_connected_it_since(room: Mailroom) -> None:
    body = envelope(("777", {"messages": [meta_text("wamid.A"), meta_text("wamid.B")]}))
    await room.intake.take_shared_meta(body, signature(APP_SECRET, body))
    ((letter_id,),) = await room.rows("dead_letters", "id")
    with pytest.raises(Problem) as raised:
        await desk(room).replay(NOBODY, letter_id)
    assert (raised.value.code, "777" in raised.value.message) == ("conflict", True)
    other_id = await room.db.write(EVERY_TENANT, lambda db: make_tenant(db, "Other", credit=0))
    other = await room.db.write(other_id, lambda db: add_number(db, other_id, account="777"))
    await desk(room).replay(NOBODY, letter_id)
    await Mailroom(room.db, other_id, other, room.clock).sort()
    assert await room.rows("messages", "tenant_id, provider_id", "2") == [(other_id, "wamid.A"), (other_id, "wamid.B")]


async def test_what_could_not_be_read_is_read_anew(room: Mailroom) -> None:
    body = envelope(("1065", {"messages": [{"timestamp": 1}]}))
    await room.intake.take_shared_meta(body, signature(APP_SECRET, body))
    ((letter_id,),) = await room.rows("dead_letters", "id")
    with pytest.raises(Problem) as raised:
        await desk(room).replay(room.tenant_id, letter_id)
    assert raised.value.code == "conflict"
    await room.do("UPDATE dead_letters SET body = ?", envelope(("1065", {"messages": [meta_text("wamid.A")]})).decode())
    await desk(room).replay(room.tenant_id, letter_id)
    await room.sort()
    assert await room.messages() == [("hello",)]


async def test_what_a_provider_refused_is_there_to_be_looked_at_and_is_not_sent_from_there(room: Mailroom) -> None:
    await room.do(
        "INSERT INTO dead_letters (tenant_id, id, number_id, provider, account, reason, body, received_at, message_id) "
        "VALUES (?, 'a', ?, 'meta', '1065', 'refused: 131009: No', '{}', 1, 'msg_1')",
        *(room.tenant_id, room.number.id),
    )
    (listed,) = (await desk(room).page(room.tenant_id, DeadLetterQuery())).data
    assert (listed.message_id, listed.reason) == ("msg_1", "refused: 131009: No")
    with pytest.raises(Problem, match="write it anew with POST /api/v1/whatsapp/messages") as raised:
        await desk(room).replay(room.tenant_id, "a")
    assert raised.value.code == "conflict"
    assert (await desk(room).find(room.tenant_id, "a")).replayed_at is None
    assert (await room.rows("inbox", "state"), await room.rows("sends", "state")) == ([], [])


async def test_a_form_that_could_not_be_read_is_read_anew(database_url: str) -> None:
    async with open_mailroom(database_url, provider="twilio", account="+15550001111") as room:
        form = [["MessageSid", "SM1"], ["From", "whatsapp:+1"], ["To", "whatsapp:+15550001111"], ["Body", "hi"]]
        await room.do(
            "INSERT INTO dead_letters (tenant_id, id, number_id, provider, account, reason, body, received_at) "
            "VALUES (?, 'a', ?, 'twilio', '+15550001111', 'why', ?, 1), (?, 'b', ?, 'twilio', '', 'why', '{', 1)",
            *(room.tenant_id, room.number.id, msgspec.json.encode(form).decode(), room.tenant_id, room.number.id),
        )
        await desk(room).replay(room.tenant_id, "a")
        await room.sort()
        assert await room.messages() == [("hi",)]
        with pytest.raises(Problem):
            await desk(room).replay(room.tenant_id, "b")


async def test_a_row_that_was_given_up_waits_again_but_one_that_is_done_does_not(room: Mailroom) -> None:
    await room.tell(text("wamid.A"), text("wamid.B", sender=Person()))
    rows = [NewEvent(room.number.id, key, "message", "{}") for key in ("wamid.A", "wamid.B")]

    def revive(db: Transaction) -> None:
        for row in rows:
            inbox.revive(db, room.tenant_id, row, room.clock())

    await room.db.write(room.tenant_id, revive)
    assert await room.rows("inbox", "event_key, state, tries, error") == [
        ("wamid.A", "done", 0, ""),
        ("wamid.B", "pending", 0, ""),
    ]
