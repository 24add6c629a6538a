"""Seeding tenants: what a file may say, what a second run leaves alone, what is refused."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from argon2 import PasswordHasher

from app.config import Secret, Settings
from app.core.identity import key_digest, now_us
from app.main import open_storage
from app.storage import keys, ledger
from app.storage.database import EVERY_TENANT, Job, Row, Transaction
from scripts import seed_catalog, seed_tenants

SECRET = "a secret for the tests of seeds"
VALUE = "cm_" + "a1B2" * 10
DAY_US = 86_400_000_000
KEY_VERSION = "SELECT version FROM api_keys WHERE name = 'server'"
ACME = """
[[tenants]]
name = "Acme"
plan = "starter"
monthly_budget = "500"

[[tenants.members]]
email = "Jo@Acme.example"
role = "owner"
password = "a long sentence"

[[tenants.members]]
email = "al@acme.example"
role = "agent"

[[tenants.keys]]
name = "server"
permissions = ["llm", "stt"]
scopes = "usage:read"
allowed_models = ["kimi-k2.6", "local/mine"]
allowed_search_providers = ["exa"]
rpm = 120
budget = 50
expires_in_days = 90

[[tenants.keys]]
name = "fixed"
key = "VALUE"

[[tenants.grants]]
ref = "pilot"
amount = "250.5"
note = "Pilot"
""".replace("VALUE", VALUE)

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a catalog and nothing else."""
    path = tmp_path_factory.mktemp("seeded") / "gateway.db"
    assert seed_catalog.run(Settings(database_url=f"sqlite:///{path}"), dry_run=False) == 0
    return path


@pytest.fixture
def settings(seeded: Path, tmp_path: Path) -> Settings:
    (tmp_path / "gateway.db").write_bytes(seeded.read_bytes())
    return Settings(database_url=f"sqlite:///{tmp_path / 'gateway.db'}", secret_key=Secret(SECRET))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "seed.toml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def ask(settings: Settings, job: Job[Any]) -> Any:
    async def read() -> Any:
        async with open_storage(settings) as db:
            return await db.read(EVERY_TENANT, job)

    return trio.run(read)


def rows(settings: Settings, sql: str) -> Any:
    return ask(settings, lambda db: db.all(sql))


def everything(db: Transaction) -> list[Row]:
    tables = ("tenants", "users", "api_keys", "ledger_entries")
    return [row for table in tables for row in db.all(f"SELECT * FROM {table}")]  # noqa: S608 - names of the schema


def books_balance(settings: Settings) -> bool:
    return not ask(settings, ledger.broken_tenants)


def replaced(old: str, new: str) -> str:
    assert old in ACME
    return ACME.replace(old, new, 1)


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
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_key_file_that_cannot_be_written_stops_before_any_key_is_made(
    settings: Settings, write: Write, tmp_path: Path
) -> None:
    assert seed_tenants.run(settings, write(ACME), keys_out=tmp_path) == 1
    assert rows(settings, "SELECT COUNT(*) FROM api_keys") == [(0,)]


def test_json_and_csv_say_the_same_as_toml(
    settings: Settings, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    seed_tenants.run(settings, write(ACME))
    table = {
        "name": "Acme",
        "plan": "starter",
        "monthly_budget": 500.0,
        "members": [{"email": "jo@acme.example", "role": "owner"}, {"email": "al@acme.example", "role": "agent"}],
        "keys": [
            {
                **{"name": "server", "permissions": "llm stt", "scopes": ["usage:read"], "rpm": 120, "budget": 50},
                **{"allowed_models": "kimi-k2.6,local/mine", "allowed_search_providers": "exa", "expires_in_days": 90},
            },
            {"name": "fixed", "key": VALUE},
        ],
        "grants": [{"ref": "pilot", "amount": 250.5}],
    }
    csv = f"""\
kind,tenant,name,plan,monthly_budget,email,role,key,permissions,scopes,allowed_models,allowed_search_providers,rpm,budget,expires_in_days,ref,amount
member,Acme,,,,jo@acme.example,owner,,,,,,,,,,
tenant,Acme,,starter,500,,,,,,,,,,,,
member,Acme,,,,al@acme.example,agent,,,,,,,,,,
key,Acme,server,,,,,,"llm,stt",usage:read,kimi-k2.6 local/mine,exa,120,50,90,,
key,Acme,fixed,,,,,{VALUE},,,,,,,,,
grant,Acme,,,,,,,,,,,,,,pilot,250.5
"""
    for text, name in ((json.dumps({"tenants": [table]}), "seed.json"), (csv, "seed.csv")):
        capsys.readouterr()
        assert seed_tenants.run(settings, write(text, name)) == 0
        assert capsys.readouterr().out == "tenants: nothing changed\n"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('plan = "starter"', 'plan = "gold"', "seed.toml: Acme: plan: is 'gold'; write one of free, starter"),
        ('role = "agent"', 'role = "boss"', "seed.toml: Acme.members[1]: role: is 'boss'; write one of owner"),
        ('role = "agent"', 'role = "owner"', "seed.toml: Acme.members[1]: role: is owner as in Acme.members[0]"),
        ("Jo@Acme.example", "jo at acme", "seed.toml: Acme.members[0]: email: is 'jo at acme'"),
        ("Jo@Acme.example", "AL@acme.example", "Acme.members[1]: email: is that of Acme.members[0] too"),
        ("a long sentence", "short", "seed.toml: Acme.members[0]: password: is too short"),
        (VALUE, "cm_short", "seed.toml: Acme.keys[1]: key: has not the shape of a key"),
        ('"stt"]', '"fly"]', "seed.toml: Acme.keys[0]: permissions: has 'fly'; use *, llm"),
        ("usage:read", "usage", "seed.toml: Acme.keys[0]: scopes: has 'usage'"),
        ('"kimi-k2.6"', '"kimi-k2.66"', "Acme.keys[0]: allowed_models: has 'kimi-k2.66', which is no id"),
        ('["exa"]', '["bing"]', "Acme.keys[0]: allowed_search_providers: has 'bing'; use *, serper"),
        ("rpm = 120", "rpm = 0", "seed.toml: Acme.keys[0]: rpm: is 0; write a whole number of at least 1"),
        ("rpm = 120", "rps = 120", "seed.toml: Acme.keys[0]: rps: is not a known key"),
        ("budget = 50\n", "budget = -1\n", "seed.toml: Acme.keys[0]: budget: is -1; write credits"),
        ("expires_in_days = 90", "expires_in_days = 366", "Acme.keys[0]: expires_in_days: is 366; write at most 365"),
        ('amount = "250.5"', 'amount = "0.0000001"', "Acme.grants[0]: amount: is '0.0000001'; write credits"),
        ('amount = "250.5"', "amount = 0", "seed.toml: Acme.grants[0]: amount: is missing or 0"),
        ('amount = "250.5"', 'amount = "1e9"', "seed.toml: Acme.grants[0]: amount: is '1e9'; write credits"),
        ('name = "fixed"', 'name = "server"', "Acme.keys[1]: name: is that of Acme.keys[0] too"),
        ("[[tenants]]", "[[tenants", "seed.toml: -: -: is not valid TOML"),
        ("[[tenants]]", '[[tenants]]\nname = "Acme"\nplan = "pro"\n[[tenants]]', "Acme: name: is that of Acme too"),
    ],
)
def test_a_fault_is_named_by_file_entry_and_field_and_nothing_is_written(
    settings: Settings, write: Write, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    assert seed_tenants.run(settings, write(replaced(old, new))) == 1
    assert told in capsys.readouterr().err
    assert rows(settings, "SELECT COUNT(*) FROM tenants") == [(0,)]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("key,Acme,server,,fast", "seed.csv: line 3: rpm: is 'fast'; write a whole number"),
        ("key,Nobody,server,,", "seed.csv: line 3: tenant: is 'Nobody', which no row of kind tenant has"),
        ("cat,Acme,server,,", "seed.csv: line 3: kind: is 'cat'; write tenant, member, key or grant"),
        ("grant,Acme,server,,", "seed.csv: line 3: name: is not a known key"),
        ("tenant,Acme,,pro,", "seed.csv: line 3: tenant: stands in an earlier row too"),
        ("key,Acme,server,,1,2", "seed.csv: line 3: -: has more cells than columns"),
    ],
)
def test_a_fault_in_a_csv_file_is_named_by_its_line(
    settings: Settings, write: Write, capsys: pytest.CaptureFixture[str], row: str, told: str
) -> None:
    text = f"kind,tenant,name,plan,rpm\ntenant,Acme,,starter,\n{row}\n"
    assert seed_tenants.run(settings, write(text, "seed.csv")) == 1
    assert told in capsys.readouterr().err


def test_an_unknown_column_is_named(settings: Settings, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert seed_tenants.run(settings, write("kind,tenant,colour\ntenant,Acme,red\n", "seed.csv")) == 1
    assert "seed.csv: line 1: colour: is no column" in capsys.readouterr().err


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


def test_a_file_that_is_not_there_is_named(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert seed_tenants.run(settings, Path("absent.toml")) == 1
    assert "absent.toml: -: -: cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["toml", "json", "csv"])
def test_the_examples_of_the_help_text_can_be_seeded(settings: Settings, write: Write, suffix: str) -> None:
    sections = re.split(r"\n(TOML|JSON|CSV)[^\n]*:\n", seed_tenants.HELP)
    text = (
        sections[sections.index(suffix.upper()) + 1]
        .replace("<40 letters or digits>", "x" * 40)
        .replace("\n  ", "\n")
        .strip()
    )
    assert seed_tenants.run(settings, write(text, f"seed.{suffix}")) == 0
    assert rows(settings, "SELECT name, plan, balance FROM tenants") == [("Acme", "starter", 250_500_000)]


def test_the_demo_file_holds_no_secret_and_can_be_seeded(settings: Settings) -> None:
    demo = Path(seed_tenants.__file__).with_name("demo_tenants.toml")
    assert seed_tenants.run(settings, demo) == 0
    assert rows(settings, "SELECT name, plan, balance FROM tenants") == [("Demo", "enterprise", 10_000_000_000)]
    assert "password =" not in demo.read_text()
