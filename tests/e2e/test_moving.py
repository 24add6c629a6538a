"""`python -m app migrate --from sqlite:///... --to postgresql://...` beside a gateway that serves: no row is lost."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx2
import pytest
import trio

from app import moving
from app.config import Settings
from app.core.money import credits_from_ucr
from app.storage.moving import Plan, moved_before
from tests.books import faults
from tests.databases import Databases, elsewhere, open_view, sqlite_url
from tests.e2e.process import ROOT, as_environment, open_gateway_process
from tests.e2e.settlement import question
from tests.e2e.wire_clients import H1Client
from tests.house import Ground, open_ground
from tests.storage.business import add_tenants, all_rows, make_business, one
from tests.storage.making import open_call

KILLS: Final = int(os.environ.get("MOVING_KILLS", "4"))
SEED: Final = int(os.environ.get("MOVING_SEED", "1"))
#: A run is killed this long after it began to copy, at the latest: it takes about as long.
LONGEST_S: Final = 1.2
CLIENTS: Final = 12
PATIENCE_S: Final = 60.0
PASSWORD: Final = "not-for-eyes"


@pytest.fixture
def target(databases: Databases) -> Iterator[str]:
    with databases.open_empty() as url:
        yield url


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with open_ground(tmp_path) as ground:
        yield ground


@dataclass
class Crowd:
    """Clients of one gateway that ask for ever; what became of their calls."""

    ground: Ground
    url: str
    #: Ids of calls that a client has whole.
    complete: list[str] = field(default_factory=list)
    #: (status, code, Retry-After) of each refusal.
    refused: Counter[tuple[int | None, str | None, str | None]] = field(default_factory=Counter)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(CLIENTS):
                nursery.start_soon(self._ask_for_ever, number)
            task_status.started()

    async def served(self, calls: int) -> None:
        """Wait until so many more have their answer."""
        wanted = len(self.complete) + calls
        with trio.fail_after(PATIENCE_S):
            while len(self.complete) < wanted:  # noqa: ASYNC110 - other tasks bring it about
                await trio.sleep(0.01)

    async def _ask_for_ever(self, number: int) -> None:
        chance = random.Random(SEED * 100 + number)
        while True:
            cues = f"[tokens={chance.randrange(2, 30)}] [pace={chance.choice([0, 40, 100])}]"
            client = await H1Client.connect(self.url)
            with closing(client):
                body = question("crowd", cues, "kimi-k2.6", stream=chance.random() < 0.5)
                await client.ask(self.ground.customer.key, body)
                answer = await client.read_to_end()
            if answer.saw_end:
                assert answer.call_id is not None
                self.complete.append(answer.call_id)
            else:
                self.refused[answer.status, answer.error_code, answer.headers.get("retry-after")] += 1
                await trio.sleep(0.02)


@asynccontextmanager
async def open_crowd(ground: Ground, tmp_path: Path, calls: int = 300) -> AsyncIterator[Crowd]:
    """A gateway process on the ground's SQLite file, which has some history, and its crowd."""
    elsewhere(ground.settings.database_url, lambda db: add_tenants(db, ("Bazaar", "Chai & Co"), calls))
    async with (
        open_gateway_process(ground.settings, tmp_path / "gateway.log") as gateway,
        trio.open_nursery() as nursery,
    ):
        crowd = Crowd(ground, gateway.url)
        await nursery.start(crowd.run)
        await crowd.served(20)
        yield crowd
        nursery.cancel_scope.cancel()
        assert await gateway.end(signal.SIGTERM) == 0


def command(source: str, target: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "app", "migrate", "--from", source, "--to", target, *options]


async def run_to_end(settings: Settings, command: list[str]) -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(PATIENCE_S):
        return await trio.run_process(
            command, cwd=ROOT, env=as_environment(settings), capture_stdout=True, capture_stderr=True, check=False
        )


async def credits_at(url: str, key: str) -> dict[str, float]:
    async with httpx2.AsyncClient(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=10) as http:
        reply = await http.get("/v1/credits")
        assert reply.status_code == 200, reply.text
        amounts: dict[str, float] = reply.json()
        return amounts


def check_arrived(crowd: Crowd, target: str) -> None:
    """Every row is on the other side, and every call that a client has whole is charged there."""
    assert all_rows(target) == all_rows(crowd.ground.settings.database_url)
    with open_view(target) as db:
        assert faults(db) == {}
        charged = {row[0] for row in db.all("SELECT ref FROM ledger_entries WHERE kind = 'charge'")}
        assert db.all("SELECT id FROM calls WHERE state = 'held'") == []
    assert set(crowd.complete) <= charged


async def test_a_gateway_that_serves_a_crowd_is_moved_without_losing_a_call(
    tmp_path: Path, ground: Ground, target: str
) -> None:
    async with open_crowd(ground, tmp_path) as crowd:
        settings = ground.settings
        ended = await run_to_end(settings, command(settings.database_url, target))
        assert ended.returncode == 0, ended.stderr
        before = len(crowd.complete)
        refused = crowd.refused.total()
        with trio.fail_after(PATIENCE_S):
            while crowd.refused.total() < refused + CLIENTS:  # noqa: ASYNC110 - the crowd brings it about
                await trio.sleep(0.01)
        async with httpx2.AsyncClient(base_url=crowd.url, timeout=10) as http:
            readiness = await http.get("/readyz")
    assert (readiness.status_code, readiness.json()["checks"]["database"]["status"]) == (503, "unavailable")
    print(f"\n{len(crowd.complete)} calls served, {dict(crowd.refused)} refused; {ended.stdout.decode()}")
    assert len(crowd.complete) == before
    assert {(status, code) for status, code, _ in crowd.refused} == {(503, "storage_unavailable")}
    assert all(int(retry_after or 0) > 0 for _, _, retry_after in crowd.refused)
    check_arrived(crowd, target)
    summary = ended.stdout.decode()
    assert f"Now start the gateway with DATABASE_URL={target}" in summary
    calls = one(target, "SELECT COUNT(*) FROM calls")
    assert ["calls", f"{calls:,}"] in [line.split()[:2] for line in summary.splitlines()]
    await check_new_gateway(ground, target, tmp_path)
    await check_old_gateway(ground.settings, target)


async def check_new_gateway(ground: Ground, target: str, tmp_path: Path) -> None:
    """It serves the same key with the same balance, and its books balance."""
    balance = one(target, "SELECT balance FROM tenants WHERE id = ?", ground.customer.tenant_id)
    settings = replace(ground.settings, database_url=target)
    async with open_gateway_process(settings, tmp_path / "new.log") as gateway:
        assert await credits_at(gateway.url, ground.customer.key) == {
            "balance": credits_from_ucr(balance),
            "held": 0,
            "available": credits_from_ucr(balance),
        }
        client = await H1Client.connect(gateway.url)
        with closing(client):
            await client.ask(ground.customer.key, question("new", "[tokens=5]", "kimi-k2.6", stream=True))
            answer = await client.read_to_end()
        assert answer.saw_end
        assert await gateway.end(signal.SIGTERM) == 0
    with open_view(target) as db:
        assert faults(db) == {}
    charge = one(target, "SELECT charge FROM calls WHERE id = ?", answer.call_id)
    assert one(target, "SELECT balance FROM tenants WHERE id = ?", ground.customer.tenant_id) == balance - charge


async def check_old_gateway(settings: Settings, target: str) -> None:
    """No gateway starts on the old database; to move it again is done already, or refused."""
    start = await run_to_end(settings, [sys.executable, "-m", "app", "serve"])
    assert start.returncode == 1
    assert f"This database has been moved to {target} (".encode() in start.stderr
    again = await run_to_end(settings, command(settings.database_url, target))
    assert (again.returncode, again.stdout[:12]) == (0, b"Done already")
    elsewhere_ = await run_to_end(settings, command(settings.database_url, f"{target}_2"))
    assert elsewhere_.returncode == 1
    assert b"has been moved before, and not to" in elsewhere_.stderr


async def test_a_move_that_is_killed_again_and_again_loses_nothing(tmp_path: Path, ground: Ground, target: str) -> None:
    chance = random.Random(SEED)
    killed = Counter[str]()
    async with open_crowd(ground, tmp_path, calls=1500) as crowd:
        settings = ground.settings
        move = command(settings.database_url, target)
        for number in range(KILLS):
            log = tmp_path / f"moving-{number}.log"
            with log.open("wb") as out:
                process = subprocess.Popen(move, cwd=ROOT, env=as_environment(settings), stdout=out, stderr=out)  # noqa: ASYNC220
            with trio.fail_after(PATIENCE_S):
                while b"rows" not in log.read_bytes():  # noqa: ASYNC110 - another process writes it
                    await trio.sleep(0.005)
            await trio.sleep((number + chance.random()) / KILLS * LONGEST_S)
            process.kill()
            killed["at work" if process.wait() == -signal.SIGKILL else "done"] += 1
            if moved_before(Plan(settings.database_url, target)) is not None:
                break
        else:
            await crowd.served(5)  # a stop that nobody renews lifts itself
        last = await run_to_end(settings, move)
        assert last.returncode == 0, last.stderr
    print(f"\nkilled {dict(killed)} (seed {SEED}), {len(crowd.complete)} served, {dict(crowd.refused)} refused")
    assert killed["at work"] > 0
    assert {(status, code) for status, code, _ in crowd.refused} <= {(503, "storage_unavailable")}
    check_arrived(crowd, target)


async def test_a_rehearsal_says_what_is_there_and_how_long_a_move_would_stop_the_gateway(
    tmp_path: Path, target: str
) -> None:
    business = make_business(sqlite_url(tmp_path))
    rehearsal = await run_to_end(Settings(), command(business.url, target, "--copy-only"))
    assert rehearsal.returncode == 0, rehearsal.stderr
    *lines, kept, stopped = rehearsal.stdout.decode().splitlines()
    assert any(line.startswith("  ledger_entries ") for line in lines)
    assert kept == f"A rehearsal: {business.url} is in use as before, and has gone on since."
    assert re.fullmatch(
        r"To move now, no call could begin for \d+\.\d s and until those that run have ended\.", stopped
    )
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "next"))


async def test_ctrl_c_lets_calls_begin_again_and_says_how_to_go_on(tmp_path: Path, target: str) -> None:
    business = make_business(sqlite_url(tmp_path))
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "endless"))
    with (tmp_path / "moving.log").open("wb") as log:
        process = subprocess.Popen(command(business.url, target), cwd=ROOT, stdout=log, stderr=log)  # noqa: ASYNC220
    with trio.fail_after(PATIENCE_S):
        while not one(business.url, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'moving_stop'"):  # noqa: ASYNC110
            await trio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert await trio.to_thread.run_sync(process.wait) == 130
    said = (tmp_path / "moving.log").read_text()
    assert said.splitlines()[-1] == (
        f"Interrupted. The gateway goes on with {business.url}; run the same command again to go on from here."
    )
    assert "tenants: 3 of 3 rows" in said
    elsewhere(business.url, lambda db: open_call(db, business.principals[0], "next"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "sqlite:///a.db"], "--from and --to go together"),
        (["--to", "postgresql://h/b"], "--from and --to go together"),
        (["--copy-only"], "go with --from and --to"),
        (["--force"], "go with --from and --to"),
        (["--from", "sqlite:///a", "--to", "postgresql://h/b", "--database", "sqlite:///a"], "--database does not go"),
        (["--from", "sqlite:///a", "--to", "postgresql://h/b", "--recount"], "--recount does not go"),
        (["--from", "sqlite:///a", "--to", "postgresql://h/b", "--copy-only", "--force"], "--force does not go"),
        (["--from", "sqlite:///a", "--to", "postgresql://h/b", "--wait", "long"], "invalid float value: 'long'"),
        (["--from", "sqlite:///a", "--to", "postgresql://h/b", "--wait", "-1"], "--wait: -1.0 is not a number"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = ArgumentParser()
    parser.add_argument("--database")
    parser.add_argument("--recount", action="store_true")
    moving.add_arguments(parser)
    with pytest.raises(SystemExit) as end:
        moving.is_move(parser, parser.parse_args(options))
    assert end.value.code == 2
    assert says in capsys.readouterr().err


async def test_a_target_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    business = make_business(sqlite_url(tmp_path))
    settings = Settings(database_url=business.url)
    ended = await run_to_end(settings, command(business.url, f"postgresql://me:{PASSWORD}@127.0.0.1:1/x"))
    assert ended.returncode == 1
    assert b"postgresql://me@127.0.0.1:1/x cannot be reached" in ended.stderr
    assert PASSWORD.encode() not in ended.stdout + ended.stderr
