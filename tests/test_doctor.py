"""`python -m app doctor` finds what is wrong and says what to do about it, without a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from app import doctor
from app.config import Secret, Settings
from tests.databases import Databases, open_view
from tests.house import Ground, open_ground


async def findings(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """The doctor's exit code and lines."""
    capsys.readouterr()
    code = await doctor.run(settings)
    return code, capsys.readouterr().out.splitlines()


def change(ground: Ground, sql: str) -> None:
    with open_view(ground.settings.database_url) as db:
        db.do("PRAGMA ignore_check_constraints = ON")
        assert db.run(sql) > 0


async def test_a_good_installation_has_nothing_to_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_ground(tmp_path) as ground:
        code, lines = await findings(ground.settings, capsys)
    assert code == 0
    assert [line for line in lines if line.startswith("FIX")] == []
    answered = [line.partition(": answered with status")[0] for line in lines if "answered" in line]
    assert answered == [f"ok   {name}" for name in ("openrouter", "cloudflare", "sarvam", "fast")]


async def close_the_port(ground: Ground) -> dict[str, Any]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    return {"sarvam_base_url": f"http://127.0.0.1:{port}"}


#: What is wrong, and the line that must say so with the advice after it.
TROUBLES: list[tuple[dict[str, Any], str, str]] = [
    ({"secret_key": Secret()}, "FIX  SECRET_KEY is not set", "Make one with"),
    ({"openrouter_api_key": Secret()}, "FIX  openrouter: not configured", "Set OPENROUTER_API_KEY"),
    ({"cloudflare_api_token": Secret()}, "FIX  cloudflare: not configured", "Set CLOUDFLARE_API_TOKEN and"),
    ({"database_url": "sqlite:////dev/null/gateway.db"}, "FIX  sqlite:////dev/null/gateway.db: ", "Check the path"),
    ({"blob_dir": "/dev/null/blobs"}, "FIX  BLOB_DIR /dev/null/blobs: not writable (Not a directory)", "Make it a"),
    ({"meta_app_secrets": Secret("s")}, "FIX  META_APP_SECRETS is set, META_VERIFY_TOKEN is not", "Choose a word"),
    ({"meta_verify_token": Secret("t")}, "FIX  META_VERIFY_TOKEN is set, META_APP_SECRETS is not", "Set the app's"),
]


@pytest.mark.parametrize(("wrong", "line", "advice"), TROUBLES)
async def test_what_is_wrong_is_named_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any], line: str, advice: str
) -> None:
    async with open_ground(tmp_path) as ground:
        code, lines = await findings(replace(ground.settings, **wrong), capsys)
    assert code == 1
    (at,) = [number for number, each in enumerate(lines) if each.startswith("FIX")]
    assert lines[at].startswith(line)
    assert lines[at + 1].strip().startswith(advice)


async def test_a_folder_of_media_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_ground(tmp_path) as ground:
        blobs = tmp_path / "blobs"
        blobs.mkdir()
        (blobs / ".media").touch()
        _, lines = await findings(replace(ground.settings, blob_dir=str(blobs)), capsys)
    assert [line for line in lines if line.startswith("FIX")] == [
        f"FIX  BLOB_DIR {blobs}/.media: not writable (Not a directory)"
    ]


async def connect_numbers(ground: Ground, state: str, *providers: str) -> None:
    """A number of each of these providers, in that state."""
    with open_view(ground.settings.database_url) as db:
        for provider in providers:
            db.do(
                "INSERT INTO numbers (tenant_id, id, provider, account, secrets, state, error, created_at, updated_at) "
                "VALUES (?, ?, ?, ?, 'sealed', ?, '190: The token has expired.', 0, 0)",
                *(ground.customer.tenant_id, provider, provider, f"1065-{provider}", state),
            )


async def test_an_installation_with_numbers_is_asked_about_their_providers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_ground(tmp_path, public_url="https://api.example.com") as ground:
        await connect_numbers(ground, "connected", "meta", "twilio")
        code, lines = await findings(ground.settings, capsys)
    assert code == 0
    assert "ok   whatsapp: numbers: 1 of meta, 1 of twilio" in lines
    asked = [line.partition(" with status")[0] for line in lines if "_URL: answered" in line]
    assert asked == ["ok   META_GRAPH_URL: answered", "ok   TWILIO_API_URL: answered"]


async def test_what_keeps_numbers_from_being_heard_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_ground(tmp_path) as ground:
        await connect_numbers(ground, "connected", "twilio")
        await connect_numbers(ground, "error", "meta")
        with open_view(ground.settings.database_url) as db:
            db.do(
                "INSERT INTO inbox (tenant_id, number_id, event_key, seq, kind, body, received_at, due_at) "
                "VALUES (?, 'meta', 'k', 1, 'message', '{}', 1, 1)",
                ground.customer.tenant_id,
            )
        away = (await close_the_port(ground))["sarvam_base_url"]
        code, lines = await findings(replace(ground.settings, meta_graph_url=f"{away}/v25.0"), capsys)
    assert code == 1
    wrong = [line.removeprefix("FIX  ") for line in lines if line.startswith("FIX")]
    number = f"number 1065-meta of {ground.customer.tenant_id}"
    assert wrong[0] == "PUBLIC_URL is not set; numbers of Twilio: 1"
    assert wrong[1].startswith(f"META_GRAPH_URL {away}/v25.0: not reached (")
    assert wrong[2].startswith("inbox: 1 wait, the oldest for ")
    assert wrong[3:] == [f"{number}: refused by its provider (190: The token has expired.)"]


async def test_a_provider_that_is_away_is_told_from_one_that_refuses_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}")

    async with open_ground(tmp_path) as ground, trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        away = await close_the_port(ground)
        settings = replace(ground.settings, fast_base_url=f"http://127.0.0.1:{port}/v1", **away)
        code, lines = await findings(settings, capsys)
        nursery.cancel_scope.cancel()
    assert code == 1
    wrong = [line for line in lines if line.startswith("FIX")]
    assert wrong[0].startswith("FIX  sarvam: not reached (")
    assert wrong[1:] == ["FIX  fast: answered with status 401"]
    assert "     Its key is refused: check FAST_API_KEY." in lines


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("UPDATE tenants SET balance = balance - 1", "FIX  the books of 1 tenants do not balance: "),
        ("DELETE FROM catalog_entries WHERE kind = 'rates'", ": no valid catalog (rates: rates: "),
        ("INSERT INTO schema_steps VALUES (999, 'future')", ": The database is at schema 999, this version knows"),
    ],
)
async def test_a_database_that_is_not_in_order_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str, line: str
) -> None:
    async with open_ground(tmp_path) as ground:
        change(ground, sql)
        code, lines = await findings(ground.settings, capsys)
    assert code == 1
    (wrong,) = [each for each in lines if each.startswith("FIX")]
    assert line in wrong


async def test_no_secret_is_in_what_the_doctor_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    canary = Secret("wombat-canary-0123456789")
    named: dict[str, Any] = dict.fromkeys(("secret_key", "openrouter_api_key", "sarvam_api_key"), canary)
    async with open_ground(tmp_path) as ground:
        _, lines = await findings(replace(ground.settings, **named), capsys)
    assert lines
    assert not any("canary" in line for line in lines)


@pytest.mark.parametrize(("user", "bound"), [("gateway", True), ("postgres", False)])
async def test_a_role_that_row_level_security_does_not_bind_is_to_be_replaced(
    capsys: pytest.CaptureFixture[str], databases: Databases, user: str, bound: bool
) -> None:
    with databases.open_fresh() as url:
        async with open_ground(url) as ground:
            settings = replace(ground.settings, database_url=url.replace("gateway@", f"{user}@"))
            code, lines = await findings(settings, capsys)
    assert code == (0 if bound else 1)
    named = [line for line in lines if "row-level security does not bind 'postgres'" in line]
    assert len(named) == (0 if bound else 1)


#: What is wrong with a URL, and what is said about it; the password is in all of them.
WRONG_URLS: dict[str, tuple[Callable[[str], str], str]] = {
    "nobody listens": (lambda url: re.sub(r":\d+/", ":1/", url), "onnection refused"),
    "no such role": (lambda url: url.replace("gateway:", "nobody:"), 'role "nobody" does not exist'),
    "another password": (lambda url: url.replace("gateway:", "guarded:"), "password authentication failed"),
    "no such database": (lambda url: url + "_missing", "does not exist"),
    "a port that is none": (lambda url: re.sub(r":\d+/", ":door/", url), 'invalid integer value "door"'),
    "a password that is not escaped": (lambda url: url.replace("canary", "@canary"), "write % as %25, @ as %40"),
    "a broken escape": (lambda url: url.replace("canary", "%-canary"), "write % as %25, @ as %40"),
    "an escape of half a character": (lambda url: url.replace("canary", "%caanary"), "no UTF-8"),
}
PASSWORD = "wombatcanary"


@pytest.fixture
def guarded_url(databases: Databases) -> Iterator[str]:
    """Of a database that asks the role `guarded`, and nobody else, for a password."""
    with databases.open_fresh() as url:
        databases.guard("guarded", "another password")
        yield url.replace("gateway@", f"gateway:{PASSWORD}@")


@pytest.mark.parametrize("wrong", WRONG_URLS)
async def test_a_postgresql_that_cannot_be_reached_is_told_why_and_without_the_password(
    guarded_url: str, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    spoil, said = WRONG_URLS[wrong]
    settings = Settings(database_url=spoil(guarded_url), secret_key=Secret("a secret for tests only"))
    code, lines = await findings(settings, capsys)
    assert code == 1
    (line,) = [line for line in lines if line.startswith("FIX  postgresql://")]
    assert said in line
    assert "canary" not in "".join(lines)
