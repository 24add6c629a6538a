"""What is kept of an answer: its bytes and what its head says of them, up to a bound."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import kept_reply
from app.core.kept_reply import KeptReply, ReplyPacker, pack_whole, unpack_reply

KIND = (b"content-type", b"text/event-stream; charset=utf-8")
ID = (b"x-generation-id", b"chatcmpl-1")


def packed(pieces: Sequence[bytes]) -> bytes:
    packer = ReplyPacker([KIND])
    for piece in pieces:
        packer.add(piece)
    return packer.data()


@given(st.lists(st.binary(max_size=100)))
def test_a_stream_comes_back_as_it_was_sent(pieces: list[bytes]) -> None:
    assert unpack_reply(200, packed(pieces)) == KeptReply(200, [KIND], b"".join(pieces))


@pytest.mark.parametrize("size", [0, 1, kept_reply.PACKED_WHOLE, kept_reply.PACKED_WHOLE + 1])
def test_a_whole_answer_comes_back_as_it_was_sent(size: int) -> None:
    body = b"\n" + os.urandom(size)
    assert unpack_reply(404, pack_whole([KIND, ID], body)) == KeptReply(404, [KIND, ID], body)


def test_limits_times_cookies_and_ids_of_the_first_request_are_not_kept() -> None:
    passing = [
        *((b"x-request-id", b"req_1"), (b"set-cookie", b"a=b"), (b"content-length", b"2"), (b"date", b"today")),
        *((b"x-ratelimit-remaining-requests", b"1"), (b"openai-processing-ms", b"3"), (b"retry-after", b"1")),
    ]
    assert unpack_reply(200, pack_whole([ID, *passing], b"{}")).headers == [ID]


def test_what_is_too_large_is_not_kept_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_reply, "LARGEST", 10)
    assert packed([b"12345", b"67890"]) != b""
    assert packed([b"12345", b"67890", b"1", b"more"]) == b""
    assert pack_whole([], b"1234567890") != b""
    assert pack_whole([], b"12345678901") == b""
