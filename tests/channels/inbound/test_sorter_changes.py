"""What a user does to a message afterwards, and what a provider tells of ours, whichever comes first."""

from __future__ import annotations

import msgspec

from channels.inbound.applying import PATIENCE_US
from channels.whatsapp.updates import Edit, Notice, Person, Reaction, Revoke, Status
from tests.channels.mailroom import ASHA, NOW_S, Mailroom, text
from tests.databases import ON_BOTH

WAITS_S = [after / 1e6 for after in PATIENCE_US]


async def details(room: Mailroom) -> dict[str, object]:
    ((found,),) = await room.messages("details")
    decoded: dict[str, object] = msgspec.json.decode(found)
    return decoded


async def add_send(room: Mailroom, provider_id: str = "") -> None:
    await room.do(
        "INSERT INTO sends (tenant_id, id, seq, number_id, contact_id, conversation_id, message_id, turn_id, part, "
        "origin, kind, body, state, provider_id, due_at, created_at, updated_at) SELECT tenant_id, 'send-1', 1, "
        "number_id, contact_id, id, 'm', 't', 1, 'reply', 'text', '{}', 'accepted', ?, 0, 0, 0 FROM conversations",
        provider_id,
    )


@ON_BOTH
async def test_an_edit_changes_the_text_and_the_turn_looks_again(room: Mailroom) -> None:
    await room.tell(text("wamid.A"), Edit("wamid.X", NOW_S, ASHA, "wamid.A", "goodbye"))
    assert await room.messages("content, disposition") == [("goodbye", "open")]
    assert await details(room) == {"edited": True}
    assert await room.rows("lanes", "touched") == [(2,)]


async def test_an_edit_of_what_was_answered_begins_nothing(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    await room.do("UPDATE messages SET disposition = 'answered'")
    await room.tell(Edit("wamid.X", NOW_S, ASHA, "wamid.A", "goodbye"))
    assert await room.messages("content, disposition") == [("goodbye", "answered")]
    assert await room.rows("lanes", "touched") == [(1,)]


async def test_what_is_deleted_before_its_turn_waits_no_longer(room: Mailroom) -> None:
    await room.tell(text("wamid.A"), Revoke("wamid.X", NOW_S, ASHA, "wamid.A"))
    assert await room.messages("disposition") == [("revoked",)]
    assert await details(room) == {"revoked": True}


async def test_what_is_deleted_after_its_answer_stays_answered_and_is_marked(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    await room.do("UPDATE messages SET disposition = 'answered'")
    await room.tell(Revoke("wamid.X", NOW_S, ASHA, "wamid.A"))
    assert await room.messages("disposition") == [("answered",)]
    assert await details(room) == {"revoked": True}


async def test_a_reaction_stays_on_its_message_until_it_is_taken_back_and_begins_no_turn(room: Mailroom) -> None:
    await room.tell(text("wamid.A"), Reaction("wamid.X", NOW_S, ASHA, "wamid.A", "👍"))
    ((contact,),) = await room.rows("contacts", "id")
    assert await details(room) == {"reactions": {contact: "👍"}}
    await room.tell(Reaction("wamid.Y", NOW_S, ASHA, "wamid.A"))
    assert await details(room) == {"reactions": {}}
    assert await room.rows("lanes", "touched") == [(1,)]


async def test_a_reaction_to_a_part_of_ours_is_on_our_message(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    await add_send(room, "wamid.OURS")
    await room.do("UPDATE sends SET message_id = (SELECT id FROM messages)")
    await room.tell(Reaction("wamid.X", NOW_S, ASHA, "wamid.OURS", "👍"))
    assert list(await details(room)) == ["reactions"]


@ON_BOTH
async def test_a_change_that_comes_before_its_message_waits_for_it(room: Mailroom) -> None:
    await room.tell(Edit("wamid.X", NOW_S, ASHA, "wamid.A", "goodbye"), Revoke("wamid.Y", NOW_S, ASHA, "wamid.B"))
    assert await room.rows("inbox", "state, tries, error") == [("pending", 1, "unknown message")] * 2
    await room.tell(text("wamid.A"), text("wamid.B"))
    room.clock.turn(WAITS_S[0])
    await room.sort()
    assert await room.messages("content, disposition") == [("goodbye", "open"), ("hello", "revoked")]
    assert await room.rows("inbox", "state, error") == [("done", "")] * 4


async def test_a_status_of_a_send_that_nobody_knows_is_looked_for_ten_minutes_and_then_let_go(room: Mailroom) -> None:
    await room.bring(Status("wamid.S", "delivered", NOW_S, Person(), "send-1"))
    seen = []
    for after_s in [0.0, *WAITS_S]:
        room.clock.now += round(after_s * 1e6) - (room.clock.now - await _received(room))
        await room.sort()
        seen += await room.rows("inbox", "state, tries")
    assert seen == [("pending", 1), ("pending", 2), ("pending", 3), ("pending", 4), ("done", 4)]
    assert WAITS_S[-1] == 600
    assert await room.rows("inbox", "error") == [("unknown message",)]


async def _received(room: Mailroom) -> int:
    ((at,),) = await room.rows("inbox", "received_at")
    return int(at)


@ON_BOTH
async def test_a_status_moves_our_send_on_by_our_reference_or_by_the_providers_id(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    await add_send(room)
    await room.tell(Status("wamid.S", "delivered", NOW_S, ASHA, "send-1"))
    assert await room.rows("sends", "state, provider_id") == [("delivered", "wamid.S")]
    await room.tell(Status("wamid.S", "sent", NOW_S, ASHA), Status("wamid.S", "read", NOW_S, ASHA))
    assert await room.rows("sends", "state") == [("read",)]
    assert await room.rows("inbox", "state, error") == [("done", "")] * 4


async def test_a_status_that_came_too_early_is_applied_once_its_send_is_there(room: Mailroom) -> None:
    await room.tell(text("wamid.A"), Status("wamid.S", "read", NOW_S, ASHA))
    await add_send(room, "wamid.S")
    room.clock.turn(WAITS_S[0])
    await room.sort()
    assert await room.rows("sends", "state") == [("read",)]


async def test_news_that_needs_no_answer_is_done_with(room: Mailroom) -> None:
    class Known(Notice, frozen=True, tag="notice"):
        id: str = "key"

    await room.tell(Known("account_alerts", {"x": 1}))
    assert await room.rows("inbox", "state, kind") == [("done", "notice")]
    assert await room.messages() == []
