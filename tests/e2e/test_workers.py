"""Several processes on one port: each answers, and none that dies, drains or is replaced costs a client its call."""

from __future__ import annotations

import os
import pty
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import trio

from app.__main__ import main
from app.storage.sqlite import SqliteTransaction
from tests.books import faults
from tests.e2e.calling import question, until
from tests.e2e.process import ROOT, GatewayProcess, as_environment, open_gateway_process
from tests.e2e.wire_clients import Answer, H1Client
from tests.house import Ground, open_ground

WORKERS: Final = 2
END_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Shift:
    """Workers at work, and a customer of theirs who takes a new connection for each call."""

    ground: Ground
    gateway: GatewayProcess

    def told(self, event: str) -> list[dict[str, Any]]:
        """What the log says of an event, in all lines that are whole."""
        text = self.gateway.output.read_bytes().rpartition(b"\n")[0]
        lines = [msgspec.json.decode(line) for line in text.splitlines() if line.startswith(b"{")]
        return [line for line in lines if line.get("event") == event]

    def pids(self) -> list[int]:
        """Of all workers that ever served, by their age."""
        return [line["pid"] for line in self.told("worker.serving")]

    async def client(self, text: str, *, stream: bool = False) -> H1Client:
        """One that has asked and not read yet."""
        client = await H1Client.connect(self.gateway.url)
        await client.ask(self.ground.customer.key, msgspec.json.encode(question(text, stream=stream)))
        return client

    async def ask(self, text: str = "[tokens=1]") -> Answer:
        with trio.fail_after(END_S), closing(await self.client(text)) as client:
            return await client.read_to_end()

    async def stream(self) -> H1Client:
        """A slow answer whose first words have come."""
        client = await self.client("[tokens=20] [pace=20]", stream=True)
        while b'"content":" ' not in client.answer.body:
            assert await client.read()
        return client


async def ended(pid: int) -> None:
    """Wait for the end of a process that need not be our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with trio.fail_after(END_S):
            await trio.lowlevel.wait_readable(handle)
    finally:
        os.close(handle)


@asynccontextmanager
async def open_shift(folder: Path, *, customer: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Shift]:
    """A gateway of two workers. In the end all of them are gone, and the books balance."""
    async with open_ground(folder, customer=customer, **settings) as ground:
        log = folder / "gateway.log"
        async with open_gateway_process(
            ground.settings, log, "--workers", str(WORKERS), serving="workers.serving"
        ) as gateway:
            shift = Shift(ground, gateway)
            yield shift
        for pid in shift.pids():
            await ended(pid)
    with closing(sqlite3.connect(folder / "gateway.db")) as db:
        assert faults(SqliteTransaction(db)) == {}


async def test_each_worker_answers_on_the_one_port(tmp_path: Path) -> None:
    async with open_shift(tmp_path) as shift:
        assert len(set(shift.pids())) == WORKERS
        for pid in shift.pids():
            os.kill(pid, signal.SIGSTOP)
            answers = [await shift.ask() for _ in range(3)]
            os.kill(pid, signal.SIGCONT)
            assert [answer.status for answer in answers] == [200] * 3, "the other one answers"


def open_sockets(pid: int) -> int:
    return sum(os.readlink(each).startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())


async def test_a_burst_of_connections_is_shared_out(tmp_path: Path) -> None:
    async with open_shift(tmp_path) as shift:
        before = {pid: open_sockets(pid) for pid in shift.pids()}
        clients = [await H1Client.connect(shift.gateway.url) for _ in range(40)]

        async def all_accepted() -> bool:
            return sum(open_sockets(pid) - count for pid, count in before.items()) == len(clients)

        await until(all_accepted)
        assert min(open_sockets(pid) - count for pid, count in before.items()) >= len(clients) / 4
        for client in clients:
            client.close()


async def test_a_limit_holds_over_all_workers(tmp_path: Path) -> None:
    answers: list[Answer] = []
    async with open_shift(tmp_path, customer={"rpm": 7}) as shift:

        async def ask() -> None:
            answers.append(await shift.ask())

        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(ask)
    assert Counter(answer.status for answer in answers) == {200: 7, 429: 33}


async def test_a_killed_worker_has_a_successor_and_calls_go_on_meanwhile(tmp_path: Path) -> None:
    async with open_shift(tmp_path) as shift:
        dead, *_ = shift.pids()
        os.kill(dead, signal.SIGKILL)
        await ended(dead)
        answers = [await shift.ask()]
        while len(shift.pids()) == WORKERS:
            answers.append(await shift.ask())
        answers.append(await shift.ask())
        assert {answer.status for answer in answers} == {200}
        (failed,) = shift.told("worker.failed")
        assert failed["reason"] == "A worker ended unasked (SIGKILL)."
        numbers = [line["worker"] for line in shift.told("worker.serving")]
        assert numbers == [0, 1, 0]


async def test_a_running_stream_ends_whole_before_all_stop(tmp_path: Path) -> None:
    async with open_shift(tmp_path) as shift:
        with closing(await shift.stream()) as client:
            shift.gateway.process.send_signal(signal.SIGTERM)
            assert (await client.read_to_end()).saw_end
        assert await shift.gateway.end(signal.SIGTERM) == 0
        with pytest.raises(OSError, match="refused"):
            await shift.ask()


async def test_a_second_signal_cuts_what_still_runs(tmp_path: Path) -> None:
    async with open_shift(tmp_path, drain_s=60) as shift:
        with closing(await shift.client("[mock=hang_headers_after_accept]", stream=True)):
            shift.gateway.process.send_signal(signal.SIGINT)
            await until(lambda: _has(shift, "workers.draining"))
            with trio.fail_after(END_S):
                assert await shift.gateway.end(signal.SIGINT) == 0


async def test_workers_drain_and_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    async with open_shift(tmp_path) as shift:
        with closing(await shift.stream()) as client:
            await shift.gateway.end(signal.SIGKILL)
            assert (await client.read_to_end()).saw_end
        for pid in shift.pids():
            await ended(pid)


async def test_every_worker_is_replaced_and_no_call_is_lost(tmp_path: Path) -> None:
    async with open_shift(tmp_path) as shift:
        before = shift.pids()
        answers: list[Answer] = []
        shift.gateway.process.send_signal(signal.SIGHUP)
        while not shift.told("workers.replaced"):
            answers.append(await shift.ask())
        assert Counter(answer.status for answer in answers) == {200: len(answers)}
        numbers = [line["worker"] for line in shift.told("worker.serving")]
        assert numbers == [0, 1, 2, 0], "no two that live at once have the same"
        for pid in before:
            await ended(pid)
        assert (await shift.ask()).status == 200


async def test_a_lock_kept_for_too_long_is_a_503_with_a_wait_and_is_got_over(tmp_path: Path) -> None:
    async with open_shift(tmp_path, database_deadline_s=0.3) as shift:
        with closing(sqlite3.connect(tmp_path / "gateway.db", timeout=5, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = await shift.ask()
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert b"storage_unavailable" in refused.body

        async def recovered() -> bool:
            return (await shift.ask()).status == 200

        await until(recovered)


async def _has(shift: Shift, event: str) -> bool:
    return bool(shift.told(event))


def serve(settings: dict[str, str], **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "app", "serve", "--workers", str(WORKERS)]
    return subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize("trouble", ["certificate", "database"])
async def test_a_worker_that_cannot_start_ends_all_and_says_why_once(tmp_path: Path, trouble: str) -> None:
    async with open_ground(tmp_path) as ground:
        settings = as_environment(ground.settings)
    if trouble == "certificate":
        missing = str(tmp_path / "missing.pem")
        settings |= {"CERTFILE": missing, "KEYFILE": missing}
    else:
        with closing(sqlite3.connect(tmp_path / "gateway.db")) as db, db:
            db.execute("INSERT INTO schema_steps (step, name) VALUES (1000, 'from the future')")
    with serve(settings) as process:
        _, told = await trio.to_thread.run_sync(process.communicate)
    assert process.returncode == 1
    first, second = [line for line in told.decode().splitlines() if line.startswith("error: ")]
    assert ("No such file" if trouble == "certificate" else "schema 1000") in first
    assert second == "error: A worker ended before it was ready (exit code 1); what it said is above."


async def test_all_stop_when_the_terminal_is_closed(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    async with open_ground(tmp_path) as ground:
        process = serve(as_environment(ground.settings), stdin=theirs)
        os.close(theirs)
        with process:
            assert process.stderr is not None
            while b"workers.serving" not in await trio.to_thread.run_sync(process.stderr.readline):
                pass
            os.close(ours)
            process.send_signal(signal.SIGHUP)
            with trio.fail_after(END_S):
                _, told = await trio.to_thread.run_sync(process.communicate)
    assert b"workers.draining" in told
    assert process.returncode == 0


@pytest.mark.parametrize("workers", ["0", "65", "-1", "two"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str], workers: str) -> None:
    with pytest.raises(SystemExit):
        main(["serve", f"--workers={workers}"])
    assert f"--workers: '{workers}' is not a number from 1 to 64" in capsys.readouterr().err
