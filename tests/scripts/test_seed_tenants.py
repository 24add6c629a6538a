"""Seeding tenants: what becomes of a file, what a second run leaves alone, what conflicts with the database."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import trio
from argon2 import PasswordHasher

from app.config import Secret, Settings
from app.core.identity import key_digest, now_us
from app.main import open_storage
from app.storage import keys
from app.storage.database import EVERY_TENANT
from scripts import seed_tenants
from tests.scripts.acme import (
    ACME,
    DAY_US,
    KEY_VERSION,
    SECRET,
    VALUE,
    Write,
    ask,
    books_balance,
    everything,
    replaced,
    rows,
)
from tests.scripts.modes import mode


def test_a_file_becomes_tenant_members_keys_and_credits(settings: Settings, write: Write) -> None:
    assert seed_tenants.run(settings, write(ACME)) == 0
    assert rows(settings, "SELECT name, plan, budget, balance FROM tenants") == [
        ("Acme", "starter", 500_000_000, 250_500_000)
    ]
    assert rows(settings, "SELECT email, role FROM users ORDER BY role") == [
        ("al@acme.example", "agent"),
        ("jo@acme.example", "owner"),
    ]
    assert rows(settings, "SELECT kind, amount, ref, note FROM ledger_entries") == [
        ("grant", 250_500_000, "pilot", "Pilot")
    ]
    assert books_balance(settings)


def test_a_key_may_do_what_the_file_says(settings: Settings, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    seed_tenants.run(settings, write(ACME))
    shown = re.search(r"key server: (cm_\w+)", capsys.readouterr().out)
    assert shown is not None
    before = now_us()
    principal = ask(settings, lambda db: keys.find_principal(db, key_digest(SECRET.encode(), shown[1]), now_us()))
    assert (principal.plan, principal.rpm, principal.budget_ucr) == ("starter", 120, 50_000_000)
    assert (principal.permissions, principal.scopes) == ({"llm", "stt"}, {"usage:read"})
    assert principal.allowed_models == {"kimi-k2.6", "local/mine"}
    assert principal.allowed_search_providers == {"exa"}
    assert 0 <= before + 90 * DAY_US - principal.expires_us < 60_000_000


def test_a_fixed_key_works_and_is_not_shown(
    settings: Settings, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    seed_tenants.run(settings, write(ACME))
    principal = ask(settings, lambda db: keys.find_principal(db, key_digest(SECRET.encode(), VALUE), now_us()))
    assert principal.permissions == {"*"}
    assert VALUE not in capsys.readouterr().out


def test_passwords_are_kept_as_argon2id_and_made_when_absent(
    settings: Settings, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    seed_tenants.run(settings, write(ACME))
    shown = re.search(r"al@acme\.example, password: (\S+)", capsys.readouterr().out)
    assert shown is not None
    hashes = dict(rows(settings, "SELECT email, password_hash FROM users"))
    assert hashes["jo@acme.example"].startswith("$argon2id$")
    assert PasswordHasher().verify(hashes["jo@acme.example"], "a long sentence")
    assert PasswordHasher().verify(hashes["al@acme.example"], shown[1])


def test_a_second_run_changes_nothing(settings: Settings, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    seed_tenants.run(settings, write(ACME))
    before = ask(settings, everything)
    capsys.readouterr()
    assert seed_tenants.run(settings, write(ACME)) == 0
    assert capsys.readouterr().out == "tenants: nothing changed\n"
    assert ask(settings, everything) == before


@pytest.mark.parametrize(
    ("old", "new", "told", "version"),
    [
        ('plan = "starter"', 'plan = "pro"', "tenant Acme: changed", "SELECT version FROM tenants"),
        ("rpm = 120", "rpm = 240", "key server of Acme: changed", KEY_VERSION),
        ("expires_in_days = 90", "expires_in_days = 30", "key server of Acme: changed", KEY_VERSION),
    ],
)
def test_a_changed_setting_is_updated_and_its_version_moves_on(
    settings: Settings, write: Write, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str, version: str
) -> None:
    seed_tenants.run(settings, write(ACME))
    capsys.readouterr()
    assert seed_tenants.run(settings, write(replaced(old, new))) == 0
    assert capsys.readouterr().out == f"{told}\nunchanged: 5\n"
    assert rows(settings, version) == [(2,)]


def test_a_new_ref_is_credited_besides_the_old(settings: Settings, write: Write) -> None:
    seed_tenants.run(settings, write(ACME))
    more = ACME + '\n[[tenants.grants]]\nref = "more"\namount = "0.000001"\n'
    assert seed_tenants.run(settings, write(more)) == 0
    assert rows(settings, "SELECT balance FROM tenants") == [(250_500_001,)]
    assert books_balance(settings)


def test_the_owner_may_change_hands(settings: Settings, write: Write) -> None:
    seed_tenants.run(settings, write(ACME))
    swapped = ACME.replace('"owner"', '"?"').replace('"agent"', '"owner"').replace('"?"', '"admin"')
    assert seed_tenants.run(settings, write(swapped)) == 0
    assert rows(settings, "SELECT email FROM users WHERE role = 'owner'") == [("al@acme.example",)]


def test_a_revoked_key_stays_revoked(settings: Settings, write: Write) -> None:
    seed_tenants.run(settings, write(ACME))

    async def revoke() -> None:
        async with open_storage(settings) as db:
            await db.write(EVERY_TENANT, lambda t: t.run("UPDATE api_keys SET is_active = 0 WHERE name = 'server'"))

    trio.run(revoke)
    assert seed_tenants.run(settings, write(replaced("rpm = 120", "rpm = 240"))) == 0
    assert rows(settings, "SELECT is_active, rpm FROM api_keys WHERE name = 'server'") == [(0, 120)]


def test_a_dry_run_changes_nothing_and_shows_no_key(
    settings: Settings, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seed_tenants.run(settings, write(ACME), dry_run=True) == 0
    printed = capsys.readouterr().out
    assert "tenant Acme: created (dry run)" in printed
    assert "cm_" not in printed
    assert rows(settings, "SELECT COUNT(*) FROM tenants") == [(0,)]


def test_new_keys_go_to_a_file_that_only_its_owner_reads(
    settings: Settings, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "keys.jsonl"
    out.touch(mode=0o644)
    assert seed_tenants.run(settings, write(ACME), keys_out=out) == 0
    key, password = map(json.loads, out.read_text().splitlines())
    assert (key["tenant"], key["name"], password["email"]) == ("Acme", "server", "al@acme.example")
    assert key["key"] in capsys.readouterr().out
    assert mode(out) == 0o600


def test_a_key_file_that_cannot_be_written_stops_before_any_key_is_made(
    settings: Settings, write: Write, tmp_path: Path
) -> None:
    assert seed_tenants.run(settings, write(ACME), keys_out=tmp_path) == 1
    assert rows(settings, "SELECT COUNT(*) FROM api_keys") == [(0,)]


def other(**changes: str) -> str:
    """A second tenant in a file of its own."""
    fields = {"email": "bo@other.example", "role": "owner", "key": "cm_" + "z9" * 20, "name": "fixed", **changes}
    return """
[[tenants]]
name = "Other"
plan = "free"
[[tenants.members]]
email = "{email}"
role = "{role}"
[[tenants.keys]]
name = "{name}"
key = "{key}"
""".format(**fields)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (other(email="al@acme.example"), "Other.members[0]: email: al@acme.example is a member of another"),
        (other(key=VALUE), "Other.keys[0]: key: is in use under another name"),
        (replaced(VALUE, "cm_" + "z9" * 20), "Acme.keys[1]: key: differs from the key 'fixed' that exists"),
        (
            replaced("Jo@Acme.example", "new@acme.example"),
            "Acme.members[0]: role: is owner, but jo@acme.example is; list that member with a new role",
        ),
    ],
)
def test_a_conflict_with_the_database_is_told_and_undoes_all(
    settings: Settings, write: Write, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    seed_tenants.run(settings, write(ACME))
    before = rows(settings, "SELECT * FROM users")
    assert seed_tenants.run(settings, write(text)) == 1
    assert told in capsys.readouterr().err
    assert rows(settings, "SELECT name FROM tenants") == [("Acme",)]
    assert rows(settings, "SELECT * FROM users") == before


def test_tenants_need_a_catalog_first(tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'empty.db'}", secret_key=Secret(SECRET))
    assert seed_tenants.run(settings, write(ACME)) == 1
    assert "run python -m scripts.seed_catalog first" in capsys.readouterr().err


def test_tenants_need_the_servers_secret(tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    database = tmp_path / "gateway.db"
    assert seed_tenants.run(Settings(database_url=f"sqlite:///{database}"), write(ACME)) == 1
    assert "SECRET_KEY: not set" in capsys.readouterr().err
    assert not database.exists()
