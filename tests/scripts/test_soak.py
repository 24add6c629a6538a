"""The soak's pure parts with planted faults, and one run of a few seconds with real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import pytest

from scripts.bench.systems import ROOT
from scripts.soak.asks import FRAGILE, HEALTHY, Ask, ask
from scripts.soak.audit import Row, difference
from scripts.soak.client import Told
from scripts.soak.gates import Counts, failed, judge, most_rise_mb
from scripts.soak.phones import Reply, Talk, wrongs
from scripts.soak.picture import svg
from scripts.soak.plan import SoakPlan
from scripts.soak.samples import Phase, Sample, lag_p99_ms
from scripts.soak.sockets import Ports, connections, count
from scripts.soak.verdicts import BROKEN, OWN_FAULT, UNANSWERED, UNEXPLAINED, Outage, why_wrong

GOOD_COUNTS: Final = Counts(
    wrong={}, broken_tenants=0, looked=500, priced=200, differences=0, pids=frozenset({7}), talk=Talk(90, 80, {})
)
#: /proc/net/tcp: two listening, a client's, one to a provider at 9000, one to the database at 5432.
TABLE: Final = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1
   2: 0100007F:1F40 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 13 1
   3: 0100007F:C351 0100007F:2328 08 00000000:00000000 00:00000000 00000000     0        0 14 1
   4: 0100007F:C352 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 15 1
"""
END_S: Final = 90
#: Whether it arrived will never be known.
LOST: Final = ("failed", "unknown_outcome")
PORTS: Final = Ports(frozenset({8000}), frozenset({8001}), 9000, 5432)


def sample(minute: float, phase: Phase, **changed: Any) -> Sample:
    """A quiet gateway of 200 MB."""
    figures: dict[str, Any] = {
        **{"pids": (7,), "rss_mb": 200.0, "threads": 2, "descriptors": 23, "sockets": 6, "clients": 0},
        **{"providers": 4, "pooled": 4, "databases": 0, "tasks": 27, "wal_mb": 4.0, "lag_p99_ms": 2.5, "open_holds": 0},
        **{"at_once": 0, "begun": 10},
    }
    return Sample(at_s=minute * 60, phase=phase, **(figures | changed))


def samples(*, idle: dict[str, Any] | None = None, end: dict[str, Any] | None = None, slope: float = 0) -> list[Sample]:
    """Ten minutes: two of warm-up, a pause, load whose memory rises by `slope` MB a minute, an end."""
    load = [sample(minute, "load", rss_mb=200 + slope * minute, clients=30) for minute in range(3, 10)]
    return [sample(1, "warm-up"), sample(2, "idle", **(idle or {})), *load, sample(10, "end", **(end or {}))]


def broken(found: list[Sample], **counts: Any) -> list[str]:
    gates = judge(found, replace(GOOD_COUNTS, **counts))
    return [gate.name for gate in gates if gate.holds is False]


def told(status: int = 200, code: str = "", *, model: str = HEALTHY[0], **changed: Any) -> Told:
    spec = replace(ask(1, 1), model=model)
    return Told(spec, 100.0, 101.0, status, "call", code, **({"saw_end": status == 200 and not code} | changed))


def test_a_run_that_leaves_nothing_behind_breaks_no_gate() -> None:
    gates = judge(samples(slope=0.9), GOOD_COUNTS)
    assert not failed(gates)
    assert all(gate.holds for gate in gates)


@pytest.mark.parametrize(
    ("end", "gate"),
    [
        ({"rss_mb": 221.0}, "RSS at the end, MB"),
        ({"pids": (8,)}, "gateway processes that ended"),
        ({"sockets": 7}, "sockets, but for connections at the end"),
        ({"descriptors": 24}, "file descriptors, but for connections at the end"),
        ({"threads": 3}, "threads at the end"),
        ({"tasks": 28}, "Trio tasks at the end"),
        ({"clients": 1}, "connections of clients at the end"),
        ({"providers": 5}, "connections to providers that no pool knows"),
        ({"databases": 6}, "connections to the database"),
        ({"open_holds": 1}, "open holds at the end"),
        ({"unanswered": 1}, "messages to the bot without an end"),
        ({"unsent": 1}, "replies of the bot that did not leave"),
    ],
)
def test_what_is_left_at_the_end_breaks_its_gate(end: dict[str, Any], gate: str) -> None:
    assert broken(samples(end=end)) == [gate]


def test_memory_that_rises_steadily_breaks_its_gate_though_the_end_is_low() -> None:
    assert broken(samples(slope=1.2)) == ["RSS slope under load, MB/min"]


@pytest.mark.parametrize(
    ("counts", "gate"),
    [
        ({"broken_tenants": 1}, "tenants whose books do not balance"),
        ({"differences": 1}, "differences between ledger, clients, provider"),
        ({"refused_webhooks": 1}, "webhooks that were refused"),
        ({"talk": Talk(90, 80, {"messages lost": 1})}, "messages and replies lost or twice"),
        *(({"wrong": {name: 1}}, f"answers: {name}") for name in (OWN_FAULT, UNEXPLAINED, BROKEN, UNANSWERED)),
    ],
)
def test_what_was_counted_breaks_its_gate(counts: dict[str, Any], gate: str) -> None:
    assert broken(samples(), **counts) == [gate]


def test_a_run_that_was_stopped_in_its_warm_up_is_judged_by_what_it_has() -> None:
    gates = judge([sample(0.1, "warm-up"), sample(0.2, "end", open_holds=2)], GOOD_COUNTS)
    assert {gate.name for gate in gates if gate.holds is None} >= {"RSS at the end, MB", "threads at the end"}
    assert [gate.name for gate in gates if gate.holds is False] == ["open holds at the end"]


@pytest.mark.parametrize(("minutes", "rise"), [(0.5, 5.0), (8, 8.0), (1440, 20.0)])
def test_memory_may_rise_by_1_mb_a_minute_but_never_by_more_than_a_tenth(minutes: float, rise: float) -> None:
    assert most_rise_mb(minutes, 200.0) == pytest.approx(rise)


def test_only_a_provider_that_was_made_to_fail_may_fail() -> None:
    assert why_wrong(told(), []) is None
    assert why_wrong(told(502, "upstream_error", model=FRAGILE[0]), []) is None
    assert why_wrong(told(502, "upstream_error"), []) == UNEXPLAINED
    assert why_wrong(told(429, "rate_limit_exceeded"), []) == UNEXPLAINED
    assert why_wrong(told(200, "upstream_error"), []) == UNEXPLAINED
    assert why_wrong(told(401, "invalid_api_key", model=FRAGILE[0]), []) == UNEXPLAINED


def test_a_fault_of_our_own_is_one_whatever_the_provider_did() -> None:
    assert why_wrong(told(500, "internal_error", model=FRAGILE[0]), [Outage(0)]) == OWN_FAULT
    assert why_wrong(told(503, "storage_unavailable"), [Outage(0)]) == OWN_FAULT
    assert why_wrong(told(200, "internal_error", left=True), []) == OWN_FAULT
    assert why_wrong(told(502, "?"), [Outage(0)]) == OWN_FAULT


@pytest.mark.parametrize(
    ("outage", "wrong"),
    [(Outage(90, 100.5), None), (Outage(100.5), None), (Outage(101.5), UNEXPLAINED), (Outage(90, 99), UNEXPLAINED)],
)
def test_an_outage_explains_the_calls_that_it_touched(outage: Outage, wrong: str | None) -> None:
    assert why_wrong(told(503, "provider_error"), [outage]) == wrong


def test_an_answer_that_is_cut_or_never_comes_is_wrong_unless_its_client_left() -> None:
    assert why_wrong(told(200, saw_end=False, broken=True), [Outage(0)]) == BROKEN
    assert why_wrong(told(0, saw_end=False, unanswered=True), [Outage(0)]) == UNANSWERED
    assert why_wrong(told(200, saw_end=False, left=True), []) is None


@pytest.mark.parametrize(
    ("row", "status", "wrong"),
    [
        (Row("posted", "completed", 5, 0), 200, None),
        (None, 200, "not in the ledger"),
        (Row("held", None, 0, 0), 200, "open long after its end"),
        (Row("voided", "failed", 0, 0), 200, "seen to its end and not charged"),
        (Row("posted", "completed", 5, 1), 200, "not collected"),
        (Row("posted", "failed", 5, 0), 502, "refused and charged"),
        (Row("voided", "failed", 0, 0), 502, None),
    ],
)
def test_the_ledger_must_agree_with_what_a_client_saw(row: Row | None, status: int, wrong: str | None) -> None:
    assert difference(told(status), row) == wrong


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, {}),
        ({"messages": 9}, {"messages lost": 1}),
        ({"messages": 12}, {"messages kept twice": 1}),
        ({"came": {"91": 1, "92": 1}}, {"replies that no phone got": 1}),
        ({"came": {"91": 2, "92": 3}}, {"replies that no record has": 1}),
        ({"came": {"91": 2, "92": 2}}, {}),
        ({"came": {"91": 2, "92": 1, "93": 1}}, {"replies that no record has": 1}),
        ({"dead": 2}, {"dead letters": 2}),
    ],
)
def test_what_phones_got_must_agree_with_what_is_on_record(changed: dict[str, Any], wrong: dict[str, int]) -> None:
    replies = [Reply("91", "read", None, 2), Reply("92", "accepted", None, 1), Reply("92", *LOST, 1)]
    replies.append(Reply("94", "dropped", "human_takeover", 1))
    told: dict[str, Any] = {
        "taken": 10,
        "written": 11,
        "messages": 10,
        "replies": replies,
        "came": {"91": 2, "92": 1},
        "dead": 0,
    }
    assert wrongs(**(told | changed)) == wrong


def test_the_crowd_is_as_rude_as_promised_and_the_same_every_time() -> None:
    crowd = [ask(number, 7) for number in range(4000)]
    assert crowd == [ask(number, 7) for number in range(4000)]
    assert len({each.tag for each in crowd}) == 4000
    assert 0.28 < share(crowd, manner={"leaves", "leaves in request"}) < 0.36
    assert 0.03 < share(crowd, manner={"stuck"}) < 0.06
    assert 0.05 < share(crowd, kind={"fault"}) < 0.12
    assert {each.model for each in crowd if each.kind in {"fault", "hang"}} == set(FRAGILE)


def share(crowd: list[Ask], **wanted: set[str]) -> float:
    [(name, values)] = wanted.items()
    return sum(getattr(each, name) in values for each in crowd) / len(crowd)


def test_the_timetable_fits_its_length_and_restarts_stay_away_from_the_pause() -> None:
    plan = SoakPlan(10, 60)
    assert plan.warm_s + plan.idle_s + plan.load_s == plan.seconds == 600
    assert (plan.warm_s, plan.idle_s, plan.sample_s) == (180, 10, 2)
    assert list(plan.restarts()) == [90, 240, 360, 480]
    assert len(list(SoakPlan(1440, 60).restarts())) == 23
    (only,) = SoakPlan(0.1, 60).restarts()
    assert 2 < only < 6


def test_sockets_are_told_apart_by_the_ports_at_their_ends() -> None:
    links = ["socket:[11]", "socket:[13]", "socket:[14]", "socket:[15]", "socket:[99]", "/dev/null", "anon_inode:[x]"]
    found = count(links, connections([TABLE], PORTS))
    assert found.sockets == {"other": 2, "client": 1, "provider": 1, "database": 1}
    assert (found.total, found.lasting) == (7, 4)


def test_the_lag_is_that_of_the_time_between_two_pages() -> None:
    bucket = 'callmissed_loop_lag_seconds_bucket{{le="{}"}}'
    before = {bucket.format("0.001"): 90.0, bucket.format("0.01"): 90.0, bucket.format("+Inf"): 100.0}
    after = {bucket.format("0.001"): 140.0, bucket.format("0.01"): 190.0, bucket.format("+Inf"): 200.0}
    assert lag_p99_ms(before, after) == 10.0
    assert lag_p99_ms(None, after) is None
    assert lag_p99_ms(after, after) is None


def test_the_picture_shows_every_figure_that_there_is() -> None:
    found = [replace(each, wal_mb=None) for each in samples()]
    picture = ElementTree.fromstring(svg(found, [(240.0, 241.0)], "Soak"))  # noqa: S314 - our own text
    space = "{http://www.w3.org/2000/svg}"
    words = {each.text for each in picture.iter(f"{space}text")}
    assert {"memory of the gateways (RSS), MB", "Trio tasks", "open holds"} <= words
    assert not any("WAL" in (each or "") for each in words)
    assert len(picture.findall(f"{space}polyline")) == 12


def test_a_short_soak_runs_to_its_end_with_every_gate_closed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.soak", "--minutes", "0.1", "--rate", "25", "--report", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "soak.json").read_text())
    assert document["calls"] > 100
    assert document["counts"]["looked"] > 60
    assert document["counts"]["priced"] > 10
    assert document["counts"]["talk"]["messages"] > 10
    assert document["counts"]["talk"]["replies"] > 0
    assert len(document["outages_s"]) == 1
    assert {each["phase"] for each in document["samples"]} == {"warm-up", "idle", "load", "quiet", "end"}
    assert max(each["open_holds"] for each in document["samples"]) > 0
    assert (tmp_path / "soak.svg").read_text().startswith("<svg")


def test_a_soak_that_is_interrupted_judges_the_part_that_was_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.soak", "--minutes", "5", "--rate", "20", "--report", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "warm-up" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        table, _ = process.communicate(timeout=END_S)
    assert process.returncode == 130
    assert "not judged" in table
    assert "BROKEN" not in table
    assert json.loads((tmp_path / "soak.json").read_text())["interrupted"] is True
