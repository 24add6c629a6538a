"""Files to seed tenants from: TOML, JSON and CSV say the same, and a fault is named by entry and field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.config import Settings
from scripts import seed_tenants
from tests.scripts.acme import ACME, VALUE, Write, replaced, rows


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
