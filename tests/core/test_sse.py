from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import sse
from app.core.sse import Decoder

PAYLOADS = [b'{"a":1}', "नमस्ते 🙏".encode(), b"[DONE]"]
LINE_ENDS = [b"\n", b"\r\n", b"\r"]


def fed(*pieces: bytes, max_line: int = sse.MAX_LINE) -> list[bytes]:
    decoder = Decoder(max_line)
    return [payload for piece in pieces for payload in decoder.feed(piece)] + decoder.end()


def bytewise(stream: bytes) -> list[bytes]:
    return fed(*(stream[at : at + 1] for at in range(len(stream))))


lines = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8).map(str.encode)
fields = st.one_of(
    lines.map(b"data: ".__add__),
    lines.map(b"data:".__add__),
    lines.map(b":".__add__),
    lines.map(b"id: ".__add__),
    lines.map(b"event: ".__add__),
    st.sampled_from([b"data", b"retry: 10", b"date: 1", b""]),
)


@given(st.lists(fields, max_size=12), st.sampled_from(LINE_ENDS), st.booleans(), st.data())
def test_any_cut_of_any_stream_gives_the_same_payloads(
    rows: list[bytes], line_end: bytes, bom: bool, data: st.DataObject
) -> None:
    stream = (b"\xef\xbb\xbf" if bom else b"") + line_end.join(rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert fed(*pieces) == bytewise(stream) == reference(rows)


def reference(rows: list[bytes]) -> list[bytes]:
    """The specification read line by line, the last event given as if its blank line had come."""
    payloads, values = [], []
    for row in [*rows, b""]:
        if row == b"data" or row.startswith(b"data:"):
            values.append(row[5:].removeprefix(b" "))
        elif row == b"":
            payloads.append(b"\n".join(values))
            values = []
    return [payload for payload in payloads if payload]


@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_events_end_their_lines_with_lf_crlf_or_cr(line_end: bytes) -> None:
    stream = b"".join(b"data: %b%b%b" % (payload, line_end, line_end) for payload in PAYLOADS)
    assert fed(stream) == bytewise(stream) == PAYLOADS


@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_an_event_is_given_in_the_read_that_completes_it(line_end: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(b": hello" + line_end * 2) == []
    assert decoder.feed(b"data: 1" + line_end) == []
    assert decoder.feed(line_end) == [b"1"]


def test_several_whole_events_of_one_read_come_together() -> None:
    decoder = Decoder()
    decoder.feed(b": open\n\n")
    assert decoder.feed(b"data: 1\n\ndata: 2\n\ndata: 3\n\n") == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("reads", "payloads"),
    [
        ([b"data: 1\nid: 2\n\n"], [b"1"]),
        ([b"data: 1\ndata: 2\n\n"], [b"1\n2"]),
        ([b"data: 1\n\n: comment\n\ndata: 2\n\n"], [b"1", b"2"]),
        ([b"data: 1\n\n\ndata: 2\n\n"], [b"1", b"2"]),
        ([b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n"], [b"1"]),
        ([b"data: 1\rdata: 2\n\n"], [b"1\n2"]),
        ([b"data: 1\n\ndata: \n\ndata: 3\n\n"], [b"1", b"3"]),
        ([b"data: 1", b"data: 2\n\n"], [b"1data: 2"]),
        ([b"data: 1\r", b"data: 2\n\n"], [b"1\n2"]),
    ],
)
def test_reads_that_only_look_like_whole_events_are_read_with_care(reads: list[bytes], payloads: list[bytes]) -> None:
    assert fed(b": open\n\n", *reads) == payloads


def test_the_tail_of_a_read_waits_for_the_next() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: 1\n\ndata: 2") == [b"1"]
    assert decoder.feed(b"2\n\n") == [b"22"]


def test_comments_names_ids_and_retry_are_dropped() -> None:
    stream = b": OPENROUTER PROCESSING\n\nevent: x\nid: 7\nretry: 5\ndata: 1\n\nid: 8\n\ndata: 2\nid: 9\n\n"
    assert fed(stream) == bytewise(stream) == [b"1", b"2"]


def test_a_comment_without_a_blank_line_hides_nothing() -> None:
    assert fed(b": ping\ndata: 1\n\n: ping\n: ping\ndata: 2\n\n") == [b"1", b"2"]


def test_one_space_after_the_colon_is_not_data() -> None:
    assert fed(b"data:1\n\ndata: 2\n\ndata:  3\n\n") == [b"1", b"2", b" 3"]


def test_the_data_lines_of_one_event_are_joined() -> None:
    assert fed(b'data: {"a":\ndata: 1}\n\n') == [b'{"a":\n1}']


@pytest.mark.parametrize("stream", [b"data\n\n", b"data:\n\n", b"data: \n\n", b"\n\n\n", b"database: 1\n\n"])
def test_an_event_without_data_is_nothing(stream: bytes) -> None:
    decoder = Decoder()
    decoder.feed(b": open\n\n")
    assert decoder.feed(stream) + decoder.end() == []


def test_the_end_flushes_an_event_that_lacks_its_blank_line() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: 1\n\ndata: 2\n") == [b"1"]
    assert decoder.end() == [b"2"]
    assert decoder.end() == []


def test_bytes_that_are_no_text_pass_unchanged() -> None:
    assert fed(b"data: \xff\xfe\x80\n\n") == [b"\xff\xfe\x80"]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_a_line_over_the_limit_is_refused_however_it_is_cut(size: int) -> None:
    stream = b"data: 1\n\ndata: " + b"x" * 100 + b"\n\n"
    with pytest.raises(ValueError, match="longer than 50 bytes"):
        fed(b": open\n\n", *(stream[at : at + size] for at in range(0, len(stream), size)), max_line=50)


def test_an_event_of_endless_short_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 50 bytes"):
        fed(*[b"data: 1\n"] * 20, max_line=50)


def test_many_events_in_one_read_may_exceed_the_limit_of_one() -> None:
    decoder = Decoder(max_line=50)
    assert decoder.feed(b"data: 1234\n\n" * 20) == [b"1234"] * 20


def test_a_line_of_a_mebibyte_arrives_byte_equal() -> None:
    payload = json.dumps("नमस्ते🙏" * 60_000, ensure_ascii=False).encode()
    stream = b"data: " + payload + b"\n\n"
    assert len(payload) > 1 << 20
    assert fed(*(stream[at : at + 1000] for at in range(0, len(stream), 1000))) == [payload]


def test_chat_events_have_no_name_and_named_ones_have_it_first() -> None:
    assert sse.event(None, b"{}") == b"data: {}\n\n"
    assert sse.event("message_stop", b"{}") == b"event: message_stop\ndata: {}\n\n"


@given(st.text(st.sampled_from("a\u0085\u2028\u2029\u2018é\xc2क")))
def test_no_client_sees_a_line_end_inside_an_event_and_the_json_is_the_same(text: str) -> None:
    encoded = json.dumps(text, ensure_ascii=False).encode()
    safe = sse.line_safe(encoded)
    assert len(safe.decode().splitlines()) == 1
    assert json.loads(safe) == text
