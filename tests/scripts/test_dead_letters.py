"""The operator's look at dead letters: whose they are, what for, and what cannot be tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.storage import dead_letters, tenants
from app.storage.database import Transaction
from app.storage.dead_letters import DeadLetter
from app.storage.migrations import migrate_job
from scripts import dead_letters as script
from tests.databases import elsewhere, sqlite_url
from tests.storage.making import DAY_0


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A letter of Acme's that was refused, and one of nobody's."""

    def make(db: Transaction) -> None:
        migrate_job(db)
        tenant_id, _ = tenants.upsert_tenant(db, "Acme", "pro", None, DAY_0)
        refused = DeadLetter("let_1", "n", "meta", "1065", "refused: 131009: No", '{"content":"secret"}', DAY_0)
        dead_letters.bury(db, tenant_id, refused._replace(message_id="msg_1"))
        dead_letters.bury(db, "", DeadLetter("let_2", "", "meta", "777", "unknown number", "{}", DAY_0 + 1))

    monkeypatch.setenv("SECRET_KEY", "a secret for tests only")
    database_url = sqlite_url(tmp_path)
    elsewhere(database_url, make)
    return database_url


def act(url: str, *words: str) -> int:
    return script.main([*words, "--database", url])


def test_everybodys_are_listed_with_whose_they_are_and_without_their_words(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert act(url, "list", "--all") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first[:5], first[-8:]) == ("let_2", "(nobody)")
    assert second.startswith("let_1  ")
    assert second.endswith("meta 1065: refused: 131009: No, message msg_1  (Acme)")
    assert "secret" not in second


def test_without_a_name_only_those_of_nobody_are_listed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (act(url, "list"), act(url, "list", "--tenant", "Acme")) == (0, 0)
    assert [line[:5] for line in capsys.readouterr().out.splitlines()] == ["let_2", "let_1"]


def test_pages_of_everybodys_go_on_where_they_ended(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "PAGE", 1)
    act(url, "list", "--all")
    *_, more = capsys.readouterr().out.splitlines()
    assert act(url, "list", "--all", "--before", more.removeprefix("more: --before ")) == 0
    assert [line[:5] for line in capsys.readouterr().out.splitlines()] == ["let_1"]


def test_what_was_refused_is_not_sent_again(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert act(url, "replay", "let_1", "--tenant", "Acme") == 1
    assert "write it anew" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["list", "--all", "--tenant", "Acme"], ["show", "let_1", "--all"]])
def test_all_goes_with_a_list_only(url: str, words: list[str]) -> None:
    with pytest.raises(SystemExit):
        act(url, *words)
