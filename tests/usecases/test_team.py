"""The team: who may change whom, and which of two changes that exclude each other is the one that happens."""

from __future__ import annotations

from functools import partial

import pytest

from app.core.accounts import Acceptance
from app.core.errors import Problem
from app.core.identity import Visitor
from app.core.team import MemberChange, MemberQuery, NewMember
from tests.databases import open_view
from tests.usecases.office import PASSWORD, Office, code_of, race


@pytest.fixture
async def owner(office: Office, database_url: str) -> Visitor:
    """Of an organisation with room for many."""
    return await founder(office, database_url, "jo@acme.example", "Acme")


async def founder(office: Office, database_url: str, email: str, organisation: str) -> Visitor:
    visitor = await office.visitor(await office.register(email, organisation))
    with open_view(database_url) as db:
        db.do("UPDATE tenants SET plan = 'enterprise' WHERE id = ?", visitor.tenant_id)
    return visitor


def newcomer(number: int = 0, role: str = "agent") -> NewMember:
    return NewMember(email=f"al{number}@acme.example", full_name="Al", role=role)  # type: ignore[arg-type]


async def test_who_is_invited_waits_outside_until_they_accept(office: Office, owner: Visitor) -> None:
    invited = await office.team.invite(owner, newcomer())
    assert (invited.user.role, invited.user.is_active) == ("agent", False)
    assert await code_of(office.login("al0@acme.example", "")) == "session_required"
    welcome = await office.accounts.accept(
        Acceptance(token=invited.token, password=PASSWORD, full_name=" Alma  Rao "), office.arrival()
    )
    user = welcome.account.user
    assert (user.id, user.is_active, user.full_name, user.tenant_id) == (
        invited.user.id,
        True,
        "Alma Rao",
        owner.tenant_id,
    )


async def test_an_address_is_invited_once_whoever_asks_first(
    office: Office, other: Office, owner: Visitor, database_url: str
) -> None:
    stranger = await founder(other, database_url, "bo@bolt.example", "Bolt")
    invites = [partial(each.team.invite, who, newcomer()) for each, who in ((office, owner), (other, stranger)) * 4]
    assert await race(*invites) == {"": 1, "conflict": 7}


async def test_a_plan_has_room_for_so_many_members_and_not_one_more(
    office: Office, other: Office, database_url: str
) -> None:
    owner = await office.visitor(await office.register())
    invites = [partial(each.team.invite, owner, newcomer(n)) for n, each in enumerate((office, other) * 4)]
    assert await race(*invites) == {"": 1, "permission_denied": 7}
    with open_view(database_url) as db:
        assert db.all("SELECT COUNT(*) FROM users") == [(2,)]


async def test_a_second_invitation_voids_the_first(office: Office, owner: Visitor) -> None:
    first = await office.team.invite(owner, newcomer())
    second = await office.team.renew(owner, first.user.id)
    codes = [
        await code_of(office.accounts.accept(Acceptance(token=each.token, password=PASSWORD), office.arrival()))
        for each in (first, second)
    ]
    assert codes == ["not_found", ""]
    assert await code_of(office.team.renew(owner, first.user.id)) == "conflict"


async def test_who_is_switched_off_is_out_everywhere_at_once_and_back_only_by_a_login(
    office: Office, other: Office, owner: Visitor
) -> None:
    al = await office.join(owner, "al@acme.example")
    elsewhere = await other.login("al@acme.example")
    await office.team.change(owner, al.user_id, MemberChange(is_active=False))
    assert await code_of(other.visitor(elsewhere)) == "token_expired"
    assert await code_of(other.login("al@acme.example")) == "account_inactive"
    await office.team.change(owner, al.user_id, MemberChange(is_active=True))
    assert await code_of(other.visitor(elsewhere)) == "token_expired"
    assert await code_of(other.login("al@acme.example")) == ""


async def test_who_is_switched_off_before_joining_cannot_join_by_the_old_invitation(
    office: Office, owner: Visitor
) -> None:
    invited = await office.team.invite(owner, newcomer())
    await office.team.change(owner, invited.user.id, MemberChange(is_active=False))
    accepted = Acceptance(token=invited.token, password=PASSWORD)
    assert await code_of(office.accounts.accept(accepted, office.arrival())) == "not_found"
    assert await code_of(office.team.change(owner, invited.user.id, MemberChange(is_active=True))) == "conflict"


async def test_a_removed_member_is_out_and_their_address_is_free(office: Office, other: Office, owner: Visitor) -> None:
    al = await office.join(owner, "al0@acme.example")
    elsewhere = await other.login("al0@acme.example")
    await office.team.remove(owner, al.user_id)
    assert await code_of(other.visitor(elsewhere)) == "token_expired"
    assert await code_of(other.login("al0@acme.example")) == "session_required"
    assert await code_of(office.team.remove(owner, al.user_id)) == "not_found"
    assert await code_of(office.team.invite(owner, newcomer())) == ""


async def test_who_owns_hands_over_and_becomes_an_admin_in_the_same_step(office: Office, owner: Visitor) -> None:
    al = await office.join(owner, "al@acme.example")
    assert (await office.team.set_role(owner, al.user_id, "owner")).role == "owner"
    assert [await office.role_of(each) for each in (owner, al)] == ["admin", "owner"]


async def test_of_two_who_are_made_owner_at_once_one_is(office: Office, other: Office, owner: Visitor) -> None:
    heirs = [await office.join(owner, f"al{number}@acme.example") for number in range(2)]
    gifts = [
        partial(each.team.set_role, owner, heir.user_id, "owner")
        for each, heir in zip((office, other), heirs, strict=True)
    ]
    assert await race(*gifts) == {"": 1, "conflict": 1}
    assert sorted([await office.role_of(each) for each in (owner, *heirs)]) == ["admin", "agent", "owner"]


async def test_two_who_remove_each_other_leave_one(office: Office, other: Office, owner: Visitor) -> None:
    al, bo = [await office.join(owner, f"{name}@acme.example", "admin") for name in ("al", "bo")]
    removals = [partial(office.team.remove, al, bo.user_id), partial(other.team.remove, bo, al.user_id)]
    assert await race(*removals) == {"": 1, "conflict": 1}


async def test_nobody_becomes_the_owner_before_they_have_joined(office: Office, owner: Visitor) -> None:
    invited = await office.team.invite(owner, newcomer())
    assert await code_of(office.team.set_role(owner, invited.user.id, "owner")) == "conflict"
    assert await office.role_of(owner) == "owner"


async def test_nobody_touches_the_owner_and_nobody_ends_themselves(office: Office, owner: Visitor) -> None:
    al = await office.join(owner, "al@acme.example", "admin")
    off = MemberChange(is_active=False)
    refusals = [
        await code_of(act)
        for act in (
            office.team.change(al, owner.user_id, MemberChange(full_name="Mine")),
            office.team.change(al, owner.user_id, off),
            office.team.change(al, al.user_id, off),
            office.team.change(owner, owner.user_id, off),
            office.team.remove(al, owner.user_id),
            office.team.remove(al, al.user_id),
            office.team.remove(owner, owner.user_id),
            office.team.set_role(owner, owner.user_id, "agent"),
            office.team.set_role(owner, owner.user_id, "owner"),
        )
    ]
    assert refusals == ["role_required"] * len(refusals)
    assert (await office.team.change(al, al.user_id, MemberChange(phone_number="+91 1234"))).phone_number == "+91 1234"


async def test_a_member_of_another_organisation_is_as_missing_as_none(office: Office, owner: Visitor) -> None:
    stranger = await office.visitor(await office.register("bo@bolt.example", "Bolt"))
    said = []
    for user_id in (owner.user_id, "00000000-0000-7000-8000-000000000000"):
        for act in (
            office.team.renew(stranger, user_id),
            office.team.change(stranger, user_id, MemberChange(full_name="Mine")),
            office.team.remove(stranger, user_id),
            office.team.set_role(stranger, user_id, "admin"),
        ):
            with pytest.raises(Problem) as caught:
                await act
            said.append(caught.value.body())
    assert len(set(said)) == 1
    assert b"not_found" in said[0]
    assert [each.id for each in (await office.team.page(stranger.tenant_id, MemberQuery())).data] == [stranger.user_id]
