"""The bench's load generator against a stub that misbehaves, by a clock that moves when it is looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest

from scripts.bench.load import Load, Tally, run_load
from scripts.bench.questions import Door, request, short_body
from tests.bench_events import EVENTS


class Stub(BaseHTTPRequestHandler):
    """Answers by path: /json, /stream, /busy, /cut (the stream is cut), /hang (it never ends)."""

    protocol_version = "HTTP/1.1"
    released: threading.Event

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.path in ("/json", "/busy"):
            self.send_response(200 if self.path == "/json" else 429)
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"text")
            return
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        if self.path == "/hang":
            self.released.wait()
            self.close_connection = True
            return
        self.wfile.write(b"%x\r\n%s\r\n" % (len(EVENTS), EVENTS))
        if self.path == "/cut":
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """A test says nothing."""


@pytest.fixture
def stub() -> Iterator[int]:
    """The port of a server in a thread."""
    Stub.released = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    Stub.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def ticking(tick_s: float) -> Callable[[], float]:
    """A clock that moves on by so much whenever it is looked at, however busy the machine is."""
    return count(0.0, tick_s).__next__


def loaded(port: int, path: str, *, streamed: bool = True, grace_s: float = 15.0, tick_s: float = 0.01) -> Tally:
    """Two lines for a second by a clock of their own."""
    door = Door(port, path, "m", "k")
    payload = request(door, short_body(door))
    clock = ticking(tick_s)
    return run_load(Load((port,), lambda *_: payload, 2, 1.0, streamed=streamed, grace_s=grace_s, clock=clock))


def test_whole_answers_are_counted_and_timed(stub: int) -> None:
    tally = loaded(stub, "/json", streamed=False)
    assert tally.calls > 2
    assert (tally.errors, tally.calls) == (0, len(tally.waits))
    assert all(0 < wait < 0.3 for wait in tally.waits)


def test_streams_give_first_tokens_gaps_and_the_burst_apart(stub: int) -> None:
    tally = loaded(stub, "/stream")
    assert (tally.errors, tally.tokens) == (0, 2 * tally.calls)
    assert (len(tally.waits), len(tally.gaps), len(tally.burst_waits)) == (tally.calls, tally.calls, 2)


def test_a_refusal_is_an_error_in_its_words(stub: int) -> None:
    tally = loaded(stub, "/busy")
    assert tally.calls == 0
    assert tally.first_error == "status 429: text"


def test_a_cut_stream_is_an_error_and_the_line_goes_on(stub: int) -> None:
    tally = loaded(stub, "/cut")
    assert tally.calls == 0
    assert tally.errors > 2
    assert tally.first_error == "the connection closed before the answer's end"


def test_an_answer_that_never_comes_counts_with_the_time_it_waited(stub: int) -> None:
    """By that clock they are asked at 1 and 2, the load is over at 3, and they are given up at 4 and 5."""
    tally = loaded(stub, "/hang", grace_s=0.5, tick_s=1.0)
    assert (tally.calls, tally.errors) == (0, 2)
    assert tally.waits == [3.0, 3.0]


def test_a_load_ends_though_an_answer_never_comes(stub: int) -> None:
    door = Door(stub, "/hang", "m", "k")
    payload = request(door, short_body(door))
    tally = run_load(Load((stub,), lambda *_: payload, 2, 0.1, streamed=True, grace_s=0.1))
    assert (tally.calls, tally.errors, len(tally.waits)) == (0, 2, 2)
    assert tally.first_error == "no end of the answer before the load was over"
