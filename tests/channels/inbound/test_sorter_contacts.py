"""One person is one contact, under whatever they are known, and two people are never one."""

from __future__ import annotations

from channels.whatsapp.updates import Identity, Person
from tests.channels.mailroom import ASHA, NOW_S, Mailroom, add_number, text
from tests.databases import ON_BOTH

PHONE, USER = Person(ASHA.phone), Person(user_id="IN.1")
COLUMNS = "user_id, phone, name"


async def aliases(room: Mailroom) -> dict[str, str]:
    """Whose each alias is, the contacts being numbered as they came."""
    order = {row[0]: str(number) for number, row in enumerate(await room.rows("contacts", "id", "created_at, id"))}
    return {alias: order[contact] for alias, contact in await room.rows("aliases", "alias, contact_id")}


async def contacts(room: Mailroom, columns: str = COLUMNS) -> list[tuple[object, ...]]:
    return await room.rows("contacts", columns, "created_at, id")


async def test_somebody_without_a_phone_is_shown_as_their_id_until_the_phone_is_known(room: Mailroom) -> None:
    await room.tell(text("wamid.A", sender=USER))
    assert await room.rows("conversations", "external_id") == [("IN.1",)]
    await room.tell(text("wamid.B", sender=ASHA))
    assert await room.rows("conversations", "external_id") == [(ASHA.phone,)]
    assert await contacts(room) == [("IN.1", ASHA.phone, "Asha")]
    assert await aliases(room) == {"u:IN.1": "0", f"p:{ASHA.phone}": "0"}


@ON_BOTH
async def test_a_message_with_both_ids_joins_two_contacts_and_the_older_one_goes_on(room: Mailroom) -> None:
    await room.tell(text("wamid.A", sender=PHONE))
    room.clock.turn(60)
    await room.tell(text("wamid.B", sender=USER))
    room.clock.turn(60)
    await room.tell(text("wamid.C", sender=ASHA))
    older = (await contacts(room, "id"))[0][0]
    assert (await contacts(room))[0] == ("IN.1", ASHA.phone, "Asha")
    assert await aliases(room) == {"u:IN.1": "0", f"p:{ASHA.phone}": "0"}
    assert await room.rows("conversations", "contact_id") == [(older,), (older,)]
    (first,), (second,), (third,) = await room.messages("conversation_id")
    assert first == third != second
    assert await room.rows("contacts", "conversation_id", "created_at") == [(first,), (second,)]


async def test_what_waits_to_be_sent_to_the_other_goes_to_the_one(room: Mailroom) -> None:
    await room.tell(text("wamid.A", sender=PHONE))
    room.clock.turn(1)
    await room.tell(text("wamid.B", sender=USER))
    (older,), (newer,) = await contacts(room, "id")
    for number, state in enumerate(("queued", "sending", "making")):
        await room.do(
            "INSERT INTO sends (tenant_id, id, seq, number_id, contact_id, conversation_id, message_id, turn_id, "
            "part, origin, kind, body, state, due_at, created_at, updated_at) SELECT tenant_id, ?, 1, number_id, "
            "contact_id, id, 'm', 't', ?, 'reply', 'text', '{}', ?, 0, 0, 0 FROM conversations WHERE contact_id = ?",
            *(f"send {number}", number, state, newer),
        )
    await room.tell(text("wamid.C", sender=ASHA))
    assert await room.rows("sends", "contact_id", "part") == [(older,), (newer,), (older,)]


async def test_the_joined_contact_is_as_open_and_as_limited_as_either_was(room: Mailroom) -> None:
    await room.tell(text("wamid.A", sender=PHONE, at=NOW_S - 3600))
    room.clock.turn(1)
    await room.tell(text("wamid.B", sender=USER))
    await room.do(
        "UPDATE contacts SET tat = 7, paused_until = 8, backoff = 2, opted_out_at = 5, "
        "notices = '{\"fallback\":9,\"calls\":4}' WHERE user_id <> ''"
    )
    await room.do("UPDATE contacts SET notices = '{\"calls\":6}' WHERE user_id = ''")
    ((until,),) = await room.rows("contacts", "MAX(window_until)")
    await room.tell(text("wamid.C", sender=ASHA, at=NOW_S - 7200))
    columns = "tat, paused_until, backoff, opted_out_at, window_until, notices"
    assert (await contacts(room, columns))[0] == (7, 8, 2, 5, until, '{"calls":6,"fallback":9}')


async def test_the_open_conversation_of_the_newer_contact_goes_on_when_the_older_ones_is_over(room: Mailroom) -> None:
    await room.tell(text("wamid.A", sender=PHONE))
    await room.do("UPDATE conversations SET status = 'completed'")
    room.clock.turn(60)
    await room.tell(text("wamid.B", sender=USER), text("wamid.C", sender=ASHA))
    (first,), (second,), (third,) = await room.messages("conversation_id")
    assert first != second == third


async def test_a_phone_with_another_account_is_another_person(room: Mailroom) -> None:
    await room.tell(text("wamid.A", sender=ASHA))
    room.clock.turn(60)
    await room.tell(text("wamid.B", sender=Person(ASHA.phone, "IN.2", name="Ravi")))
    assert await contacts(room) == [("IN.1", "", "Asha"), ("IN.2", ASHA.phone, "Ravi")]
    assert await aliases(room) == {"u:IN.1": "0", "u:IN.2": "1", f"p:{ASHA.phone}": "1"}
    assert len(await room.rows("conversations", "id")) == 2


async def test_the_same_phone_on_two_numbers_is_two_contacts(room: Mailroom) -> None:
    other = await room.db.write(room.tenant_id, lambda db: add_number(db, room.tenant_id, account="2065"))
    await room.tell(text("wamid.A"))
    await room.tell(text("wamid.B"), number=other)
    assert len(await contacts(room)) == 2


@ON_BOTH
async def test_a_new_phone_keeps_the_contact_and_gives_the_old_phone_up(room: Mailroom) -> None:
    await room.tell(text("wamid.A", sender=ASHA))
    new = Person("+911111111111", "IN.2")
    await room.tell(Identity("wamid.I", NOW_S, new, Person(user_id="IN.1")))
    assert await contacts(room) == [("IN.2", new.phone, "Asha")]
    assert await aliases(room) == {"u:IN.1": "0", "u:IN.2": "0", f"p:{new.phone}": "0"}
    await room.tell(text("wamid.B", sender=new), text("wamid.C", sender=Person(user_id="IN.1")))
    assert len(await room.rows("conversations", "id")) == 1
    assert len(await room.messages()) == 3


async def test_a_new_account_without_a_phone_forgets_the_old_phone(room: Mailroom) -> None:
    await room.tell(text("wamid.A", sender=ASHA))
    await room.tell(Identity("wamid.I", NOW_S, Person(user_id="IN.2"), Person(user_id="IN.1")))
    assert await contacts(room) == [("IN.2", "", "Asha")]
    assert await aliases(room) == {"u:IN.1": "0", "u:IN.2": "0"}


async def test_the_notice_of_a_change_may_come_after_the_first_message_from_the_new_account(room: Mailroom) -> None:
    new = Person("+911111111111", "IN.2")
    await room.tell(text("wamid.A", sender=ASHA))
    room.clock.turn(1)
    await room.tell(text("wamid.B", sender=new))
    await room.tell(Identity("wamid.I", NOW_S, Person(user_id="IN.2"), Person(user_id="IN.1")))
    assert (await contacts(room))[0] == ("IN.2", new.phone, "Asha")
    assert await aliases(room) == {"u:IN.1": "0", "u:IN.2": "0", f"p:{new.phone}": "0"}


async def test_a_change_of_somebody_unknown_or_of_nothing_known_makes_no_contact(room: Mailroom) -> None:
    await room.tell(Identity("wamid.I", NOW_S, Person(user_id="IN.2"), Person(user_id="IN.1")))
    await room.tell(Identity("wamid.J", NOW_S, Person()), Identity("wamid.K", NOW_S, ASHA))
    assert (await contacts(room), await aliases(room)) == ([], {})
    assert await room.rows("inbox", "state") == [("done",)] * 3
