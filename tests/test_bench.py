"""The bench's pure parts, and systems started and stopped."""

from __future__ import annotations

import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import litellm, plot, report
from scripts.bench.figures import LOADS, Kind, Measure, System, number, percentile, spread
from scripts.bench.processes import BenchError, Cores, Recipe, ask_once, open_system
from scripts.bench.questions import Door, short_body, stream_body
from scripts.bench.responses import ResponseReader, StreamReader
from scripts.bench.run import RunPlan, schedule
from scripts.bench.systems import ROOT, build
from scripts.bench.wrk import Aim, lua_script
from tests.bench_events import EVENTS

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n"
SIZED = b"HTTP/1.1 503 Busy\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello!"


def measured(system: System, kind: Kind = "json", load: int = 16, *, round: int = 1, **fields: float) -> Measure:
    point = {"system": system, "kind": kind, "load": load, "round": round}
    figures = {"calls": 10, "errors": 0, "per_s": 100.0, "p50_ms": 1.0, "p99_ms": 2.0}
    return msgspec.convert(point | figures | fields, Measure)


def verdict(measures: list[Measure], text: str, load: int) -> report.Verdict:
    [found] = [each for each in report.judge(measures) if (each.text, each.load) == (text, load)]
    return found


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1.0, 4)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([4, 1, 3, 2], share) == value


def test_nothing_measured_has_no_percentile_and_no_spread() -> None:
    assert percentile([], 0.5) is None
    assert spread([None]) is None


def test_rounds_show_as_median_lowest_and_highest() -> None:
    assert str(spread([30.0, None, 10.0])) == "20.0 (10.0–30.0)"
    assert str(spread([20.0])) == "20.0"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0412, "0.0412"), (9.994, "9.99"), (150.4, "150"), (12345.6, "12,346")]
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


@given(st.lists(st.integers(0, len(CHUNKED)), max_size=6))
def test_a_chunked_answer_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    reader = ResponseReader()
    assert b"".join(reader.feed(part) for part in pieces(CHUNKED, cuts)) == b"hello!"
    assert (reader.status, reader.done, reader.keeps_open) == (200, True, True)


@given(st.lists(st.integers(0, len(SIZED)), max_size=6))
def test_a_sized_answer_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    reader = ResponseReader()
    assert b"".join(reader.feed(part) for part in pieces(SIZED, cuts)) == b"hello!"
    assert (reader.status, reader.done, reader.keeps_open) == (503, True, False)


@given(st.lists(st.integers(0, len(EVENTS)), max_size=6))
def test_only_events_with_text_count_as_tokens_however_they_are_cut(cuts: list[int]) -> None:
    reader = StreamReader()
    assert sum(reader.feed(part) for part in pieces(EVENTS, cuts)) == 2
    assert (reader.done, reader.error) == (True, None)


@pytest.mark.parametrize("event", [b'data: {"error":{"message":"gone"}}\n', b"data: gone\n"])
def test_an_error_in_a_stream_is_kept_in_its_words(event: bytes) -> None:
    reader = StreamReader()
    assert reader.feed(event) == 0
    assert "gone" in (reader.error or "")


def test_an_error_object_in_a_stream_is_kept_as_it_came() -> None:
    reader = StreamReader()
    reader.feed(b'data: {"choices":[],"error":null}\ndata: {"error":{"code":"upstream_error"}}\n')
    assert reader.error == '{"code":"upstream_error"}'


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def test_stream_lengths_differ_between_lines_and_calls_and_stay_near_100() -> None:
    door = Door(1, "/", "m", "k")
    prompts = [json.loads(stream_body(door, *at))["messages"][0]["content"] for at in ((0, 0), (1, 0), (0, 1))]
    assert [prompt.partition("[tokens=")[2] for prompt in prompts] == ["80]", "87]", "91]"]


def test_systems_take_turns_and_the_order_turns_round() -> None:
    plan = RunPlan(1, 2, ("json", "streams"), ("echo", "gateway"), None)
    order = [(point.round, point.kind, point.load, peer) for point, peer in schedule(plan)]
    assert order[:2] == [(1, "json", 1, "echo"), (1, "json", 1, "gateway")]
    assert order[len(order) // 2] == (2, "json", 1, "gateway")
    assert {peer for _, kind, _, peer in order if kind == "streams"} == {"gateway"}


def test_ratios_are_taken_within_a_round() -> None:
    quiet = [measured("gateway", per_s=400.0), measured("echo", per_s=1000.0)]
    noisy = [measured("gateway", per_s=40.0, round=2), measured("echo", per_s=100.0, round=2)]
    share = verdict(quiet + noisy, "JSON requests/s, share of echo's", 16)
    assert (str(share.value), share.bound, share.met) == ("0.400", ">= 0.300", True)


def test_a_goal_is_missed_below_its_bound_and_judged_at_its_load_only() -> None:
    measures = [measured(name, load=load, per_s=per_s) for load in (1, 16) for name, per_s in FIVEFOLD.items()]
    assert verdict(measures, "JSON requests/s, times LiteLLM's", 16).met is False
    assert verdict(measures, "JSON requests/s, times LiteLLM's", 1).met is None


FIVEFOLD: dict[System, float] = {"gateway": 500.0, "litellm": 100.0}


def test_a_gateway_that_failed_calls_meets_no_goal() -> None:
    measures = [measured("gateway", "streams", 100, p50_ms=5.0, errors=1)]
    assert verdict(measures, "TTFT p50, ms", 100).met is False


def test_the_report_shows_every_system_and_its_errors() -> None:
    text = report.render([measured("gateway", errors=3), measured("echo", cpu_us=400.0)])
    assert [line.split() for line in text.splitlines()[4:6]] == [
        ["16", "echo", "100", "1.00", "2.00", "400", "–", "0"],
        ["16", "gateway", "100", "1.00", "2.00", "–", "–", "3"],
    ]


def test_a_table_is_as_wide_as_its_widest_cells() -> None:
    assert report.table(["n", "name"], [["10", "echo"], ["9", "a gateway"]]).splitlines() == [
        " n  name",
        "--  ---------",
        "10  echo",
        " 9  a gateway",
    ]


def test_the_written_run_can_be_read_back() -> None:
    document = json.loads(report.as_json([measured("gateway")], {"rounds": 1}))
    assert document["rounds"] == 1
    assert document["measures"][0]["system"] == "gateway"


def test_the_picture_has_a_solid_and_a_dashed_line_for_each_system() -> None:
    measures = [measured(name, "streams", load) for load in LOADS["streams"] for name in FIVEFOLD]
    picture = ElementTree.fromstring(plot.svg(measures))  # noqa: S314 - our own text
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4
    assert sum("stroke-dasharray" in line.attrib for line in lines) == 2


def test_wrk_sends_the_same_question_and_key() -> None:
    door = Door(1, "/", "m", "secret")
    script = lua_script(short_body(door), door.headers, Aim.at(door))
    assert short_body(door).decode() in script
    assert 'wrk.headers["Authorization"] = "Bearer secret"' in script


def test_litellm_is_pointed_at_the_upstream() -> None:
    config = json.dumps(litellm.config_for(Door(7, "/openai/v1/chat/completions", "m", "k")))
    assert '"api_base": "http://127.0.0.1:7/openai/v1"' in config


@pytest.mark.parametrize(
    ("available", "cores"),
    [([], Cores()), ([3], Cores(3, 3, 3)), ([0, 1], Cores(0, 1, 1)), ([0, 1, 2, 3], Cores(0, 1, 3))],
)
def test_the_system_under_test_shares_its_core_only_when_there_is_one(available: list[int], cores: Cores) -> None:
    assert Cores.choose(available) == cores


def test_a_system_is_started_watched_and_stopped(tmp_path: Path) -> None:
    with open_system(build("echo", tmp_path, Door(1, "/", "m", "k")), tmp_path, None) as echo:
        assert ask_once(echo.door) == (200, short_body(echo.door))
        usage = echo.usage()
    assert usage is None or (usage.cpu_s > 0 and usage.rss_mb > 5)
    with pytest.raises(ProcessLookupError):
        os.kill(echo.pid, 0)


def test_a_system_that_does_not_start_says_its_last_words(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no luck today')"]
    with (
        pytest.raises(BenchError, match=r"(?s)echo ended with code 1.*no luck today"),
        open_system(Recipe("echo", argv, Door(1, "/", "m", "k"), ROOT), tmp_path, None),
    ):
        pass
