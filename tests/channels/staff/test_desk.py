"""What members send: to whom it goes, what stops it before it is written down, and what becomes of the bot."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.errors import Problem
from app.core.identity import Visitor
from app.core.sends import TEMPLATE_UCR
from app.core.whatsapp_api import NewTemplate, NewText, Queued
from app.providers.whatsapp.line import TextContent
from app.storage import ledger
from channels.conversations.posting import Place, Saying, post
from channels.staff.desk import Desk
from channels.whatsapp.updates import Person
from tests.channels.mailroom import ASHA, Mailroom, add_number, text
from tests.databases import ON_BOTH

pytestmark = ON_BOTH
DAY_S = 86_400
#: What the organisation of the mailroom begins with.
START_UCR = 1000


def desk_of(room: Mailroom) -> Desk:
    return Desk(room.db, plans=lambda: room.plans, senders_bell=room.senders_bell, clock=room.clock)


async def write(room: Mailroom, words: str = "Hello", **to: Any) -> Queued:
    new = NewText(text=words, **(to or {"to": ASHA.phone}))
    return await desk_of(room).send_text(Visitor(room.tenant_id, user_id="u1", role="agent"), new)


async def refused(room: Mailroom, **to: Any) -> str:
    with pytest.raises(Problem) as problem:
        await write(room, **to)
    return problem.value.code


async def send_template(room: Mailroom, to: str, **fields: Any) -> Queued:
    visitor = Visitor(room.tenant_id, user_id="u1", role="agent")
    return await desk_of(room).send_template(visitor, NewTemplate(to=to, name="hello_world", **fields))


async def grant(room: Mailroom, ucr: int) -> None:
    await room.db.write(
        room.tenant_id, lambda t: ledger.credit(t, room.tenant_id, "grant", ucr, f"{ucr}", room.clock())
    )


async def test_the_answer_goes_into_the_conversation_that_goes_on(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    by_phone, by_id = await write(room), await write(room, to=ASHA.user_id)
    assert by_phone.conversation_id == by_id.conversation_id
    assert await room.rows("conversations", "id, autoreply") == [(by_phone.conversation_id, 0)]
    assert await room.messages("author, author_id, status, disposition") == [
        ("contact", (await room.rows("contacts", "id"))[0][0], "", "human"),
        *[("member", "u1", "queued", "")] * 2,
    ]


async def test_who_writes_is_not_talked_over(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    conversation, contact = (await room.rows("conversations", "id, contact_id"))[0]
    place = Place(room.tenant_id, conversation, contact, room.number.id)
    reply = Saying("Hi", [TextContent("Hi")], "turn_1", "reply")
    await room.db.write(room.tenant_id, lambda db: post(db, place, reply, room.clock()))
    await write(room)
    assert await room.rows("sends", "origin, state", "seq") == [("reply", "dropped"), ("human", "queued")]


async def test_the_bot_may_go_on_beside_who_writes(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    await write(room, to=ASHA.phone, silence_bot=False)
    assert await room.rows("conversations", "autoreply") == [(1,)]


async def test_a_minute_before_the_end_the_window_is_shut(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    room.clock.turn(DAY_S - 61)
    await write(room)
    room.clock.turn(1)
    assert await refused(room, to=ASHA.phone) == "window_closed"
    conversation = (await room.rows("conversations", "id"))[0][0]
    assert await refused(room, conversation_id=conversation) == "window_closed"
    assert len(await room.rows("sends", "id")) == 1


async def test_after_the_end_of_a_conversation_another_begins(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    first = await write(room)
    await desk_of(room).set_status(room.tenant_id, first.conversation_id, "completed")
    second = await write(room)
    assert second.conversation_id != first.conversation_id


async def test_of_several_numbers_the_one_that_knows_the_user_is_meant(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    other = await room.db.write(room.tenant_id, lambda t: add_number(t, room.tenant_id, account="2"))
    await write(room)
    await room.tell(text("wamid.B"), number=other)
    assert await refused(room, to=ASHA.phone) == "missing_required_parameter"
    await write(room, to=ASHA.phone, number_id=other.id)
    assert [row[0] for row in await room.rows("sends", "number_id", "seq")] == [room.number.id, other.id]


async def test_nothing_is_sent_from_a_number_that_is_in_error_or_has_no_bot(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    conversation = (await room.rows("conversations", "id"))[0][0]
    await room.do("UPDATE numbers SET state = 'error', error = '190: over'")
    assert await refused(room, conversation_id=conversation) == "conflict"
    await room.do("UPDATE numbers SET state = 'connected', bot_id = NULL")
    assert await refused(room, to=ASHA.phone) == "conflict"


async def test_a_template_opens_a_conversation_with_a_stranger_and_leaves_it_to_the_bot(room: Mailroom) -> None:
    await room.listen()
    await grant(room, TEMPLATE_UCR)
    sent = await send_template(room, "+15551234567")
    assert await room.rows("conversations", "id, external_id, autoreply") == [(sent.conversation_id, "+15551234567", 1)]
    assert [name for name, _ in await room.events()] == ["conversation.started"]
    await room.tell(text("wamid.A", sender=Person("+15551234567", "US.1")))
    assert len(await room.rows("conversations", "id")) == 1


async def test_a_template_is_as_its_provider_takes_it(room: Mailroom) -> None:
    await grant(room, TEMPLATE_UCR)
    await send_template(room, ASHA.phone, components=[{"type": "body", "parameters": []}])
    body = msgspec.json.decode((await room.rows("sends", "body"))[0][0])
    assert (body["name"], body["components"]) == ("hello_world", [{"type": "body", "parameters": []}])
    with pytest.raises(Problem, match="variables"):
        await send_template(room, ASHA.phone, variables={"1": "a"})


async def test_a_template_needs_what_it_will_cost(room: Mailroom) -> None:
    await grant(room, TEMPLATE_UCR - START_UCR - 1)
    with pytest.raises(Problem, match=r"0\.12 credits"):
        await send_template(room, ASHA.phone)
    assert await room.rows("contacts", "id") == []
    await grant(room, 1)
    assert (await send_template(room, ASHA.phone)).status == "queued"
    with pytest.raises(Problem, match="the 1 that wait"):
        await send_template(room, ASHA.phone)


async def test_who_is_written_to_too_often_is_left_in_peace(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    for _ in range(54):
        await write(room)
    assert await refused(room, to=ASHA.phone) == "rate_limit_exceeded"


async def test_the_parts_of_a_long_text_keep_their_order_and_only_the_first_answers(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    question = (await room.messages("id"))[0][0]
    words = "नमस्ते 👋🏽 " * 2000
    sent = await write(room, words, to=ASHA.phone, reply_to=question)
    bodies = [msgspec.json.decode(row[0]) for row in await room.rows("sends", "body", "seq")]
    assert len(bodies) == sent.parts > 1
    assert "".join(body["body"] for body in bodies).replace(" ", "") == words.replace(" ", "")
    assert [body.get("reply_to") for body in bodies] == ["wamid.A", *[None] * (sent.parts - 1)]
