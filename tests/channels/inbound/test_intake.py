"""What is well signed is kept once, for whom it is; anything else is not, and a URL without a secret is not there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.errors import Problem
from app.core.sealing import Sealer
from app.storage import inbox
from app.storage.database import EVERY_TENANT, StorageError
from app.storage.inbox import NewEvent
from channels.inbound.intake import Gate, Intake, Refused, Unsigned
from tests.books import open_books
from tests.channels.mailroom import (
    APP_SECRET,
    FORM,
    SEALER,
    SECRETS,
    TARGET,
    Mailroom,
    add_number,
    envelope,
    meta_text,
    open_mailroom,
    signature,
    signed_form,
    text,
)
from tests.databases import ON_BOTH
from tests.gate import GatedEngine
from tests.storage.making import make_tenant

ONE = envelope(("1065", {"messages": [meta_text("wamid.A")]}))


async def kept(room: Mailroom) -> list[tuple[object, ...]]:
    return await room.rows("inbox", "tenant_id, number_id, event_key, kind", "seq")


async def letters(room: Mailroom) -> list[tuple[object, ...]]:
    return await room.rows("dead_letters", "tenant_id, number_id, account, reason")


async def nothing(room: Mailroom) -> bool:
    return await kept(room) == [] == await letters(room)


@ON_BOTH
async def test_a_body_signed_by_an_app_of_ours_goes_to_whoever_has_each_number(room: Mailroom) -> None:
    other_id = await room.db.write(EVERY_TENANT, lambda db: make_tenant(db, "Other", credit=0))
    other = await room.db.write(other_id, lambda db: add_number(db, other_id, account="2065"))
    body = envelope(
        ("1065", {"messages": [meta_text("wamid.A"), meta_text("wamid.B")]}),
        ("2065", {"messages": [meta_text("wamid.A")]}),
        ("9999", {"messages": [meta_text("wamid.X"), meta_text("wamid.Y")]}),
        ("1065", {"messages": [{"from": "919876543210"}, meta_text("wamid.C")]}),
    )
    assert await room.intake.take_shared_meta(body, signature(APP_SECRET, body)) == 4
    ours = (room.tenant_id, room.number.id)
    assert sorted(await kept(room)) == sorted(
        [
            *((*ours, key, "message") for key in ("wamid.A", "wamid.B", "wamid.C")),
            (other_id, other.id, "wamid.A", "message"),
        ]
    )
    found = sorted(await letters(room))
    assert [letter[:3] for letter in found] == sorted([("", "", "9999"), (*ours, "1065")])
    bodies = await room.rows("dead_letters WHERE tenant_id = ''", "body")
    assert [each["key"] for each in msgspec.json.decode(bodies[0][0])] == ["wamid.X", "wamid.Y"]


@ON_BOTH
async def test_the_same_body_again_is_nothing_new_and_rings_nobody(room: Mailroom) -> None:
    for new in (1, 0, 0):
        assert await room.intake.take_shared_meta(ONE, signature(APP_SECRET, ONE)) == new
    assert len(await kept(room)) == 1


@pytest.mark.parametrize("header", [None, "", "sha256=", signature("wrong", ONE), signature("", ONE), "\u0130"])
async def test_a_bad_signature_stores_nothing(room: Mailroom, header: str | None) -> None:
    with pytest.raises(Unsigned):
        await room.intake.take_shared_meta(ONE, header)
    with pytest.raises(Unsigned):
        await room.intake.take_meta(room.number.id, ONE, header)
    assert await nothing(room)


async def test_a_numbers_own_url_takes_its_new_and_its_old_secret_and_no_others(room: Mailroom) -> None:
    for secret in (SECRETS.app_secret, SECRETS.old_app_secret):
        await room.intake.take_meta(room.number.id, ONE, signature(secret, ONE))
    with pytest.raises(Unsigned):
        await room.intake.take_meta(room.number.id, ONE, signature(APP_SECRET, ONE))
    assert len(await kept(room)) == 1


async def test_what_comes_to_a_numbers_url_for_another_number_is_a_letter_to_its_owner(room: Mailroom) -> None:
    await room.db.write(room.tenant_id, lambda db: add_number(db, room.tenant_id, account="2065"))
    body = envelope(("2065", {"messages": [meta_text("wamid.X")]}), ("1065", {"messages": [meta_text("wamid.A")]}))
    assert await room.intake.take_meta(room.number.id, body, signature(SECRETS.app_secret, body)) == 1
    assert [row[2] for row in await kept(room)] == ["wamid.A"]
    assert await letters(room) == [(room.tenant_id, room.number.id, "2065", "for another number than the URL's")]


NEWS = msgspec.json.encode(
    {"entry": [{"id": "102", "changes": [{"field": "account_alerts", "value": {"alert": "x"}}]}]}
)


async def test_news_of_a_business_account_is_kept_with_a_number_of_it(room: Mailroom) -> None:
    await room.do("UPDATE numbers SET proven_business = business")
    await room.intake.take_shared_meta(NEWS, signature(APP_SECRET, NEWS))
    await room.intake.take_meta(room.number.id, NEWS, signature(SECRETS.app_secret, NEWS))
    assert [(row[1], row[3]) for row in await kept(room)] == [(room.number.id, "notice")]
    assert await letters(room) == []


@pytest.mark.parametrize("proven", ["", "101"])
async def test_whoever_only_names_a_business_account_hears_nothing_of_it(room: Mailroom, proven: str) -> None:
    """A number is somebody's as soon as a token opens it; the account beside it may be anybody's."""
    await room.do("UPDATE numbers SET proven_business = ?", proven)
    await room.intake.take_shared_meta(NEWS, signature(APP_SECRET, NEWS))
    assert (await kept(room), [row[0] for row in await letters(room)]) == ([], [""])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"entry": 5}', b"[" * 100_000])
async def test_a_good_signature_over_what_cannot_be_read_is_a_dead_letter(room: Mailroom, body: bytes) -> None:
    assert await room.intake.take_meta(room.number.id, body, signature(SECRETS.app_secret, body)) == 0
    assert [row[:2] for row in await letters(room)] == [(room.tenant_id, room.number.id)]


async def test_a_number_that_the_provider_has_not_confirmed_gets_nothing_from_the_shared_url(database_url: str) -> None:
    async with open_mailroom(database_url, verified_us=None) as room:
        await room.intake.take_shared_meta(ONE, signature(APP_SECRET, ONE))
        assert (await kept(room), [row[0] for row in await letters(room)]) == ([], [""])


async def test_urls_without_a_secret_are_not_there(room: Mailroom) -> None:
    bare = Intake(room.db, SEALER, Gate(), bell=room.bell)
    body, header = signed_form(FORM)
    wanted = [
        bare.take_shared_meta(ONE, signature("", ONE)),
        bare.take_shared_twilio(TARGET, body, header),
        bare.take_twilio(room.number.id, TARGET, body, header),
        bare.take_twilio_status(room.number.id, "send", TARGET, body, header),
        room.intake.take_meta("nobody", ONE, signature(SECRETS.app_secret, ONE)),
        room.intake.take_twilio(room.number.id, TARGET, body, header),  # a number of Meta's
        room.intake.verify("nobody", {}),
    ]
    for taken in wanted:
        with pytest.raises(Problem) as raised:
            await taken
        assert raised.value.code == "not_found"
    await room.do("UPDATE numbers SET secrets = '', verify_digest = ''")
    for emptied in (
        room.intake.take_meta(room.number.id, ONE, signature("", ONE)),
        room.intake.verify(room.number.id, {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": ""}),
    ):
        with pytest.raises(Problem):
            await emptied
    assert await nothing(room)


async def test_secrets_that_this_server_cannot_open_are_none(room: Mailroom) -> None:
    strange = Intake(room.db, Sealer("another secret of tests"), Gate(), bell=room.bell)
    with pytest.raises(Problem):
        await strange.take_meta(room.number.id, ONE, signature("", ONE))


@pytest.mark.parametrize(
    ("token", "shared", "own"), [("shared token", True, False), ("let me in", True, True), ("guess", False, False)]
)
async def test_a_subscription_is_confirmed_by_the_token_that_opens_its_url(
    room: Mailroom, token: str, shared: bool, own: bool
) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": token}
    for taken, opens in ((room.intake.verify_shared(query), shared), (room.intake.verify(room.number.id, query), own)):
        if opens:
            assert await taken == "1158201444"
        else:
            with pytest.raises(Refused):
                await taken


@pytest.mark.parametrize("token", ["", "guess"])
async def test_an_installation_without_a_token_confirms_no_guess(room: Mailroom, token: str) -> None:
    bare = Intake(room.db, SEALER, Gate(), bell=room.bell)
    with pytest.raises(Refused):
        await bare.verify_shared({"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": token})


@pytest.fixture
async def twilio(database_url: str) -> object:
    async with open_mailroom(database_url, provider="twilio", account="+15550001111") as room:
        yield room


async def test_twilios_message_is_checked_with_the_token_of_the_number_that_it_is_for(twilio: Mailroom) -> None:
    body, header = signed_form(FORM)
    assert await twilio.intake.take_shared_twilio(TARGET, body, header) == 1
    assert await twilio.intake.take_twilio(twilio.number.id, TARGET, body, header) == 0
    assert [row[1:] for row in await kept(twilio)] == [(twilio.number.id, "SM1", "message")]
    await twilio.sort()
    assert await twilio.messages() == [("नमस्ते",)]


async def test_a_number_of_another_account_of_twilios_shuts_nobody_out(twilio: Mailroom) -> None:
    """Twilio confirms accounts: somebody else may have claimed the same number first."""
    other = await twilio.db.write(EVERY_TENANT, lambda db: make_tenant(db, "Bolt"))
    account = twilio.number.account
    squatter: dict[str, Any] = {"account": account, "provider": "twilio", "business": "AC2"}
    await twilio.db.write(other, lambda db: add_number(db, other, **squatter))
    body, header = signed_form(FORM)
    assert await twilio.intake.take_shared_twilio(TARGET, body, header) == 1
    assert [row[1] for row in await kept(twilio)] == [twilio.number.id]


async def test_twilio_may_have_signed_the_url_with_what_it_is_told_of_retries(twilio: Mailroom) -> None:
    body, header = signed_form(FORM, f"{TARGET}#rc=3&rp=all&ct=2000&rt=4000&tt=15000")
    assert await twilio.intake.take_twilio(twilio.number.id, TARGET, body, header) == 1


async def test_twilios_bad_signatures_store_nothing(twilio: Mailroom) -> None:
    body, header = signed_form(FORM)
    strange = signed_form({**FORM, "To": "whatsapp:+19999999999"})
    for form, sign, target in [
        (body, signed_form(FORM, token="wrong")[1], TARGET),
        (body, header, f"{TARGET}&more=1"),
        (body + b"&Body=more", header, TARGET),
        (body, "", TARGET),
        (*strange, TARGET),
        (b"\xff", header, TARGET),
        (b"&".join(b"a%d=1" % number for number in range(2000)), header, TARGET),
    ]:
        with pytest.raises(Unsigned):
            await twilio.intake.take_shared_twilio(target, form, sign)
    assert await nothing(twilio)


async def test_twilios_status_carries_our_reference_in_its_path(twilio: Mailroom) -> None:
    target = f"/api/v1/webhooks/twilio/whatsapp-status/{twilio.number.id}/send-1"
    form = {"MessageSid": "SM2", "MessageStatus": "delivered", "From": FORM["To"], "To": FORM["From"]}
    body, header = signed_form(form, target)
    assert await twilio.intake.take_twilio_status(twilio.number.id, "send-1", target, body, header) == 1
    ((told,),) = await twilio.rows("inbox", "body")
    assert msgspec.json.decode(told)["reference"] == "send-1"


async def test_a_database_that_is_away_is_said_and_nothing_is_half_kept(database_url: str) -> None:
    gates: list[GatedEngine] = []

    def gated(engine: object) -> GatedEngine:
        gates.append(GatedEngine(engine))  # type: ignore[arg-type]
        return gates[-1]

    async with open_mailroom(database_url) as room, open_books(database_url, wrap=gated) as db:
        gates[0].crash = StorageError("away")
        away = Intake(db, SEALER, Gate((APP_SECRET,)), bell=room.bell)
        body = envelope(("1065", {"messages": [meta_text("wamid.A")]}), ("9999", {"messages": [meta_text("wamid.B")]}))
        with pytest.raises(Problem) as raised:
            await away.take_shared_meta(body, signature(APP_SECRET, body))
        assert raised.value.code == "storage_unavailable"
        assert await nothing(room)


@ON_BOTH
async def test_a_thousand_events_are_kept_in_order_but_for_those_that_have_come_before(room: Mailroom) -> None:
    events = [NewEvent(room.number.id, f"key {number}", "message", str(number)) for number in range(1000)]
    tenant_id = room.tenant_id
    assert await room.db.write(tenant_id, lambda db: inbox.insert(db, tenant_id, events[300:700], 5)) == 400
    assert await room.db.write(tenant_id, lambda db: inbox.insert(db, tenant_id, [*events, *events], 9)) == 600
    found = await room.db.read(tenant_id, lambda db: inbox.pending(db, tenant_id, 9, 5000))
    assert [int(event.body) for event in found] == [*range(300, 700), *range(300), *range(700, 1000)]


async def test_a_sorter_is_rung_for_news_only(room: Mailroom) -> None:
    room.bell.ring()
    await room.bell.wait(0)
    await room.intake.take_shared_meta(ONE, signature(APP_SECRET, ONE))
    assert room.bell._event.is_set()
    await room.bell.wait(0)
    await room.intake.take_shared_meta(ONE, signature(APP_SECRET, ONE))
    assert not room.bell._event.is_set()


async def test_what_was_sorted_already_is_not_new_when_it_comes_again(room: Mailroom) -> None:
    await room.tell(text("wamid.A"))
    await room.intake.take_shared_meta(ONE, signature(APP_SECRET, ONE))
    assert len(await room.messages()) == 1
