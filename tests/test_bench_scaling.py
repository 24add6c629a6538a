"""The bench's scaling section: load over several doors and keys, costs by call, and its table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scripts.bench import scaling_report
from scripts.bench.figures import Scaled, Setup
from scripts.bench.load import Load, run_load
from scripts.bench.metrics_page import free_ports, read_page, samples
from scripts.bench.proc import family_cpu_s, read_stat
from scripts.bench.questions import Door, request, short_body
from scripts.bench.scaling import ScalingPlan, run_scaling
from scripts.bench.systems import ROOT
from scripts.bench.wrk import Aim, find_wrk, run_wrk

PAGE = """\
# HELP callmissed_database_commit_seconds One commit.
callmissed_database_commit_seconds_bucket{le="0.001"} 3.0
callmissed_database_commit_seconds_bucket{le="+Inf"} 4.0
callmissed_database_commit_seconds_sum 0.25
callmissed_calls_total{model="a",outcome="completed"} 2.0
callmissed_calls_total{model="b",outcome="failed"} 5.0
"""


class Counting(BaseHTTPRequestHandler):
    """Answers everything and counts who asked."""

    protocol_version = "HTTP/1.1"
    seen: Counter[tuple[int, str]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.seen[self.server.server_address[1], self.headers["authorization"]] += 1  # type: ignore[index]
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """A test says nothing."""


@contextmanager
def two_doors() -> Iterator[tuple[list[Door], Counter[tuple[int, str]]]]:
    """Servers in threads, and how often each port was asked with each key."""
    Counting.seen = Counter()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Counting) for _ in range(2)]
    threads = [threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.01}) for each in servers]
    for thread in threads:
        thread.start()
    try:
        yield [Door(each.server_port, "/", "m", "one") for each in servers], Counting.seen
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def scaled(setup: Setup, cpu_us: float, *, round: int = 1, **fields: Any) -> Scaled:
    figures = {"calls": 10, "errors": 0, "per_s": 100.0, "p50_ms": 1.0, "p99_ms": 2.0}
    return Scaled(setup=setup, round=round, gateway_cpu_us=cpu_us, **(figures | fields))


@pytest.mark.skipif(find_wrk() is None, reason="wrk is not installed")
def test_wrk_asks_every_door_with_every_key(tmp_path: Path) -> None:
    with two_doors() as (doors, seen):
        result = run_wrk(shutil.which("wrk") or "", tmp_path, Aim(doors, ["one", "two"]), 4, 1)
    assert result.answers > 10
    assert (result.refused, result.broken) == (0, 0)
    assert {(door.port, f"Bearer {key}") for door in doors for key in ("one", "two")} == seen.keys()


def test_the_generator_deals_its_lines_out_to_the_ports() -> None:
    with two_doors() as (doors, seen):
        payload = request(doors[0], short_body(doors[0]))
        run_load(Load([door.port for door in doors], lambda _line, _turn: payload, 4, 0.2, streamed=False))
    assert {port for port, _ in seen} == {door.port for door in doors}


def test_samples_are_added_up_over_labels_and_processes_but_not_over_buckets() -> None:
    found = samples(PAGE + PAGE)
    assert found["callmissed_calls_total"] == 14
    assert found["callmissed_database_commit_seconds_sum"] == 0.5
    assert found['callmissed_database_commit_seconds_bucket{le="0.001"}'] == 6
    assert found["what_is_not_there"] == 0


def test_ports_side_by_side_are_free_and_show_no_page() -> None:
    first, *rest = free_ports(3)
    assert rest == [first + 1, first + 2]
    assert read_page(first) is None


def test_a_process_is_read_whatever_its_name() -> None:
    stat = read_stat("42 (a) b (c) S 1 41 40 0 -1 4194304 100 0 0 0 250 50 7 3 20 0 4 0 999 123456 5000 18446744073709")
    assert (stat.pid, stat.parent, stat.session) == (42, 1, 40)
    assert (stat.ticks, stat.ticks_of_ended, stat.threads, stat.pages) == (300, 10, 4, 5000)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc")
def test_processor_time_of_a_child_counts_after_its_end_too() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        used_s = family_cpu_s(process.pid)
        process.communicate(b"\n")
    assert 0.3 <= used_s < 2


def test_what_a_core_bears_and_the_share_of_echo_come_from_processor_time() -> None:
    row = Setup("postgresql", 2, 50)
    measures = [
        *(scaled(Setup("echo"), 300.0), scaled(row, 1000.0, database_cpu_us=250.0)),
        *(scaled(Setup("echo"), 600.0, round=2), scaled(row, 2000.0, database_cpu_us=250.0, round=2)),
    ]
    lines = scaling_report.render(measures).splitlines()
    (line,) = [line for line in lines if line.startswith("postgresql")]
    assert "2 replicas" in line
    assert "0.300" in line
    assert "750 (500–1,000)" in line
    assert "4,000" in line
    assert json.loads(scaling_report.as_json(measures, {"rounds": 2}))["scaling"][1]["setup"]["tenants"] == 50


def test_the_ledger_probe_accounts_for_every_call(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'probe.db'}"
    command = [
        sys.executable,
        "-m",
        "scripts.ledger_cost",
        "--database",
        database,
        "--seconds",
        "0.3",
        "--tenants",
        "3",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    found = msgspec.json.decode(done.stdout, type=dict[str, float])
    assert found["calls"] > 20
    assert 5 < found["cpu_us"] < 20_000
    assert found["writes_per_commit"] >= 1


def test_a_fleet_is_measured_for_one_tenant_and_for_many() -> None:
    plan = ScalingPlan(1, 1, None, (("sqlite", 2),))
    measures = list(run_scaling(plan, lambda _: None))
    assert [one.setup for one in measures] == [Setup("echo"), Setup("sqlite", 2, 1), Setup("sqlite", 2, 50)]
    assert [one.errors for one in measures] == [0, 0, 0]
    assert all(one.calls > 20 for one in measures)
    assert all((one.writes_per_commit or 0) >= 1 for one in measures[1:])
    assert all((one.database_cpu_us or 0) > 5 for one in measures[1:])
