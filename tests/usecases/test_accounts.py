"""Ways in: what a wrong password costs, who wins a race, how often one may try, over two processes on one database."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from app.core.accounts import Acceptance, Login, ProfileChange, Registration
from app.core.errors import Problem
from app.core.team import NewMember
from app.storage import ledger
from app.storage.ledger import broken_tenants
from app.usecases import passwords
from app.usecases.accounts import Accounts, Arrival
from app.usecases.passwords import Passwords
from tests.databases import open_view
from tests.usecases.office import PASSWORD, CountingHasher, Office, code_of, open_office, race


async def test_who_founds_an_organisation_is_its_owner_with_the_bonus_once(database_url: str, office: Office) -> None:
    welcome = await office.register()
    account = welcome.account
    assert (account.user.role, account.user.is_active, account.tenant.plan) == ("owner", True, "free")
    with open_view(database_url) as db:
        assert ledger.balance(db, account.tenant.id) == (1_000_000_000, 0)
        entries = db.all("SELECT kind, ref, amount FROM ledger_entries WHERE tenant_id = ?", account.tenant.id)
        assert entries == [("grant", "signup_bonus", 1_000_000_000)]
        assert broken_tenants(db) == []
    visitor = await office.visitor(welcome)
    assert (visitor.tenant_id, visitor.user_id) == (account.tenant.id, account.user.id)


async def test_one_of_many_who_want_the_same_address_or_name_gets_it(office: Office, other: Office) -> None:
    same_address = [
        partial(each.register, "jo@acme.example", f"Acme {number}") for number, each in enumerate((office, other) * 4)
    ]
    same_name = [
        partial(each.register, f"jo{number}@bolt.example", "Bolt") for number, each in enumerate((office, other) * 4)
    ]
    assert await race(*same_address, *same_name) == {"": 2, "conflict": 14}


async def test_a_lost_race_leaves_nothing_behind(database_url: str, office: Office, other: Office) -> None:
    acts = [partial(each.register, "jo@acme.example", f"Acme {n}") for n, each in enumerate((office, other) * 4)]
    await race(*acts)
    with open_view(database_url) as db:
        counts = {name: db.all(f"SELECT COUNT(*) FROM {name}")[0][0] for name in ("tenants", "users", "sessions")}  # noqa: S608
        assert counts == {"tenants": 1, "users": 1, "sessions": 1}
        assert broken_tenants(db) == []


async def test_what_is_taken_is_refused_by_name_before_a_password_is_hashed(office: Office) -> None:
    await office.register()
    hashed = office.hasher.hashed
    for email, organisation, param in (
        ("JO@acme.example ", "Bolt", "email"),
        ("al@acme.example", " Acme ", "organisation"),
    ):
        with pytest.raises(Problem) as caught:
            await office.register(email, organisation)
        assert (caught.value.code, caught.value.param) == ("conflict", param)
    assert office.hasher.hashed == hashed


async def test_an_unknown_address_costs_a_hash_as_a_wrong_password_does_and_sounds_the_same(office: Office) -> None:
    await office.register()
    said = []
    for email in ("jo@acme.example", "nobody@acme.example"):
        before = office.hasher.verified
        with pytest.raises(Problem) as caught:
            await office.login(email, "not the password")
        said.append((str(caught.value), caught.value.param, caught.value.status))
        assert office.hasher.verified == before + 1
    assert said[0] == said[1]
    assert said[0][2] == 401


async def test_a_password_of_other_parameters_is_hashed_anew_when_it_is_used(database_url: str, office: Office) -> None:
    async with open_office(database_url, office.clock, time_cost=2) as older:
        await older.register()
    hashes = []
    for _ in range(2):
        await office.login()
        with open_view(database_url) as db:
            hashes.append(db.all("SELECT password_hash FROM users")[0][0])
    assert "t=1," in hashes[0]
    assert hashes[0] == hashes[1]


async def test_tries_for_one_account_are_counted_to_the_last_over_two_processes(
    office: Office, other: Office, database_url: str
) -> None:
    await office.register()
    tries = [partial(each.login, password="a guess of many") for each in (office, other) * 10]
    assert await race(*tries) == {"session_required": 5, "rate_limit_exceeded": 15}
    assert office.hasher.verified + other.hasher.verified == 5
    assert await code_of(office.login()) == "rate_limit_exceeded"
    office.clock.turn(12)
    assert await race(office.login, other.login) == {"": 1, "rate_limit_exceeded": 1}


async def test_tries_from_one_address_are_counted_to_the_last_over_two_processes(office: Office, other: Office) -> None:
    tries = [
        partial(each.login, f"jo{number}@acme.example", address="2001:db8::1")
        for number, each in enumerate((office, other) * 12)
    ]
    assert await race(*tries) == {"session_required": 10, "rate_limit_exceeded": 14}
    with pytest.raises(Problem) as caught:
        await office.login(address="2001:db8::2")
    assert caught.value.response_headers()["Retry-After"] == "6"
    assert await code_of(office.login(address="2001:db8:0:1::1")) == "session_required"


async def test_a_guess_that_is_refused_does_not_prolong_the_wait(office: Office) -> None:
    for _ in range(5):
        await code_of(office.login())
    for _ in range(20):
        assert await code_of(office.login()) == "rate_limit_exceeded"
    office.clock.turn(12)
    assert await code_of(office.login()) == "session_required"


async def test_a_password_that_was_changed_while_it_was_checked_lets_nobody_in(
    database_url: str, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    welcome = await office.register()
    verify = office.doors.passwords.verify

    async def slowly(known: str, password: str) -> passwords.Verdict:
        verdict = await verify(known, password)
        with open_view(database_url) as db:
            db.do("UPDATE users SET password_hash = 'another' WHERE id = ?", welcome.account.user.id)
        return verdict

    monkeypatch.setattr(office.doors.passwords, "verify", slowly)
    assert await code_of(office.login()) == "session_required"
    with open_view(database_url) as db:
        assert db.all("SELECT COUNT(*) FROM sessions") == [(1,)]


async def test_a_new_password_ends_the_other_sessions_in_every_process_at_once(office: Office, other: Office) -> None:
    here = await office.register()
    there = await other.login()
    visitor = await office.visitor(here)
    change = ProfileChange(password="another long sentence", current_password=PASSWORD)
    await office.profiles.change(visitor, change, "192.0.2.1")
    assert await code_of(other.visitor(there)) == "token_expired"
    assert (await other.visitor(here)).user_id == visitor.user_id
    assert await code_of(other.login()) == "session_required"
    assert await code_of(other.login(password="another long sentence")) == ""


async def test_two_changes_of_a_password_at_once_have_one_winner(office: Office, other: Office) -> None:
    visitor = await office.visitor(await office.register())
    changes = [
        partial(
            each.profiles.change,
            visitor,
            ProfileChange(password=f"a long sentence {number}", current_password=PASSWORD),
            "192.0.2.1",
        )
        for number, each in enumerate((office, other))
    ]
    codes = await race(*changes)  # who reads after the other has written has sent a password that is no more
    assert codes in ({"": 1, "conflict": 1}, {"": 1, "invalid_value": 1})


async def test_an_invitation_lets_one_in_once(office: Office, other: Office) -> None:
    owner = await office.visitor(await office.register())
    invited = await office.team.invite(owner, NewMember(email="al@acme.example", full_name="Al", role="agent"))
    accepted = Acceptance(token=invited.token, password=PASSWORD)
    assert await race(*(partial(each.accounts.accept, accepted, each.arrival()) for each in (office, other) * 2)) == {
        "": 1,
        "not_found": 3,
    }
    assert await code_of(office.login("al@acme.example")) == ""


async def test_an_invitation_is_good_for_seven_days(office: Office) -> None:
    owner = await office.visitor(await office.register())
    invited = await office.team.invite(owner, NewMember(email="al@acme.example", full_name="Al", role="agent"))
    office.clock.turn(7 * 86_400)
    accepted = Acceptance(token=invited.token, password=PASSWORD)
    assert await code_of(office.accounts.accept(accepted, office.arrival())) == "not_found"
    assert await code_of(office.login("al@acme.example")) == "session_required"


async def test_a_suspended_account_lets_nobody_in_and_tells_it_to_nobody_who_does_not_know_the_password(
    database_url: str, office: Office
) -> None:
    owner = await office.visitor(await office.register())
    invited = await office.team.invite(owner, NewMember(email="al@acme.example", full_name="Al", role="agent"))
    with open_view(database_url) as db:
        db.do("UPDATE tenants SET status = 'suspended'")
    assert await code_of(office.login()) == "account_inactive"
    assert await code_of(office.login(password="not the password")) == "session_required"
    accepted = Acceptance(token=invited.token, password=PASSWORD)
    assert await code_of(office.accounts.accept(accepted, office.arrival())) == "account_inactive"
    with open_view(database_url) as db:
        assert db.all("SELECT is_active, password_hash FROM users WHERE email LIKE 'al@%'") == [(0, "")]


async def test_a_closed_registration_founds_nothing(office: Office, database_url: str) -> None:
    closed = Accounts(replace(office.doors, open_registration=False))
    new = Registration(email="jo@acme.example", password=PASSWORD, full_name="Jo", organisation="Acme")
    assert await code_of(closed.register(new, office.arrival())) == "permission_denied"
    with open_view(database_url) as db:
        assert db.all("SELECT id FROM tenants") == []


async def test_a_login_ends_the_session_that_the_browser_had(office: Office) -> None:
    first = await office.register()
    login = Login(email="jo@acme.example", password=PASSWORD)
    second = await office.accounts.login(login, Arrival("192.0.2.1", "a browser", first.token))
    assert second.token != first.token
    assert await code_of(office.visitor(first)) == "token_expired"
    assert await code_of(office.visitor(second)) == ""


async def test_a_flood_of_logins_waits_in_a_short_queue_and_the_rest_is_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passwords, "WAITING", 3)
    slow = Passwords(CountingHasher(time_cost=200, memory_cost=1024))
    codes = await race(*(partial(slow.verify, "", "a guess") for _ in range(9)))
    assert codes == {"": 5, "too_many_concurrent_requests": 4}


async def test_the_sweep_forgets_what_is_over(database_url: str, office: Office) -> None:
    owner = await office.visitor(await office.register())
    await office.team.invite(owner, NewMember(email="al@acme.example", full_name="Al", role="agent"))
    office.clock.turn(7 * 86_400 + 1)
    assert await office.accounts.sweep() == 2
    assert await office.doors.throttle.sweep() == 1
    with open_view(database_url) as db:
        for table in ("sessions", "invitations", "throttles"):
            assert db.all(f"SELECT COUNT(*) FROM {table}") == [(0,)]  # noqa: S608
