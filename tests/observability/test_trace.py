"""A client's `traceparent` is continued when it is well formed, and ignored when it is not."""

from __future__ import annotations

import pytest

from app.observability.trace import NO_TRACE, continued, new_trace

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_the_trace_goes_on_with_a_span_of_our_own() -> None:
    trace = continued(f"00-{TRACE}-{SPAN}-01".encode())
    assert trace.trace_id == int(TRACE, 16)
    assert trace.parent_id == int(SPAN, 16)
    assert trace.span_id not in (0, trace.parent_id)
    assert trace.sampled


def test_the_log_shows_ids_as_the_standard_writes_them() -> None:
    ids = continued(b"00-" + b"0" * 31 + b"1-" + SPAN.encode() + b"-00").ids()
    assert ids["trace_id"] == "0" * 31 + "1"
    assert len(ids["span_id"]) == 16


def test_only_the_lowest_flag_says_sampled() -> None:
    assert continued(f"00-{TRACE}-{SPAN}-03".encode()).sampled
    assert not continued(f"00-{TRACE}-{SPAN}-02".encode()).sampled


def test_a_later_version_may_say_more() -> None:
    assert continued(f"01-{TRACE}-{SPAN}-01-what-comes-later".encode()).trace_id == int(TRACE, 16)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"00",
        f"00-{TRACE}-{SPAN}".encode(),
        f"00-{TRACE}-{SPAN}-01-more".encode(),
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"00-{TRACE.upper()}-{SPAN}-01".encode(),
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE}-{SPAN}-01\n".encode(),
        b"\xff" * 55,
    ],
)
def test_anything_else_is_no_trace(header: bytes | None) -> None:
    assert continued(header) == NO_TRACE
    assert NO_TRACE.ids() == {}


def test_a_new_trace_has_no_parent() -> None:
    one, other = new_trace(), new_trace()
    assert one.trace_id != other.trace_id
    assert one.parent_id == 0
