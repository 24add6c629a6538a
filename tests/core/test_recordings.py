"""A recording is known by its bytes: what it is, how long it plays, and that it is one at all."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import Problem
from app.core.recordings import measure, sniff
from scripts.simulator import sound


def element(name: int, body: bytes, *, unknown: bool = False) -> bytes:
    """One EBML element, of a size that is written or left open."""
    size = b"\x01" + b"\xff" * 7 if unknown else b"\x08" + len(body).to_bytes(4)
    return name.to_bytes((name.bit_length() + 7) // 8) + size + body


def webm(*clusters: tuple[int, list[int]], duration: float | None = None) -> bytes:
    """As a browser records it: clusters of (time, blocks' offsets), of unknown size."""
    info = element(0x2AD7B1, (1_000_000).to_bytes(3))
    if duration is not None:
        info += element(0x4489, struct.pack(">d", duration))
    body = element(0x1549A966, info)
    for at, offsets in clusters:
        blocks = [element(0xA3, b"\x81" + offset.to_bytes(2, signed=True) + b"\x80sound") for offset in offsets]
        body += element(0x1F43B675, b"", unknown=True) + element(0xE7, at.to_bytes(4)) + b"".join(blocks)
    return element(0x1A45DFA3, b"\x42\x82\x84webm") + element(0x18538067, body, unknown=True)


def mp4(units: int, scale: int = 1000) -> bytes:
    """Sound first, its index behind it."""
    mvhd = bytes(12) + struct.pack(">II", scale, units) + bytes(80)
    moov = struct.pack(">I4sI4s", 16 + len(mvhd), b"moov", 8 + len(mvhd), b"mvhd") + mvhd
    return b"\0\0\0\x14ftypM4A \0\0\0\0isom" + struct.pack(">I4s", 1008, b"mdat") + bytes(1000) + moov


def aiff(frames: int) -> bytes:
    common = struct.pack(">hIh", 1, frames, 16) + b"\x40\x0c\xfa\0\0\0\0\0\0\0"
    body = struct.pack(">4sI", b"COMM", len(common)) + common + struct.pack(">4sI", b"SSND", 8) + bytes(8)
    return struct.pack(">4sI4s", b"FORM", 4 + len(body), b"AIFF") + body


def streamed_wav(ms: int) -> bytes:
    """Written by who could not go back: its sizes are unknown."""
    whole = sound.wav(ms, 8000)
    return whole[:4] + b"\xff" * 4 + whole[8:40] + b"\xff" * 4 + whole[44:]


LENGTHS = {
    "wav": (sound.wav(5000), 5000),
    "streamed wav": (streamed_wav(3000), 3000),
    "wav that says 0": (sound.wav(2000)[:40] + bytes(4) + sound.wav(2000)[44:], 2000),
    "mp3": (sound.mp3(5000), 4990),
    "mp3 behind a tag": (b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + sound.mp3(5000), 4990),
    "ogg opus": (sound.opus(5000), 5000),
    "flac": (sound.flac(5000), 5000),
    "aac": (sound.aac(5000), 4992),
    "m4a": (mp4(7500), 7500),
    "aiff": (aiff(16000), 1000),
    "webm": (webm(duration=2500.5), 2501),
    "webm of a browser": (webm((0, [0, 20, 40]), (4000, [0, 20])), 4040),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_the_length_is_read_from_the_file(name: str) -> None:
    file, ms = LENGTHS[name]
    assert abs(measure(BytesIO(file)).length_ms - ms) <= 20


BAD = {
    "nothing": (b"", "empty"),
    "text": (b"not audio at all", "no audio"),
    "wav without sound": (sound.wav(0), "no sound"),
    "wav that ends in its header": (sound.wav(9)[:30], "cannot be read"),
    "mp4 that does not say": (mp4(0), "cannot be read"),
    "a day": (mp4(86_400_000), "longer than 4 hours"),
    "webm without time": (webm(), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_billed_is_refused_with_what_to_do(name: str) -> None:
    file, words = BAD[name]
    with pytest.raises(Problem) as refused:
        measure(BytesIO(file))
    assert (refused.value.code, refused.value.param) == ("invalid_request_error", "file")
    assert words in refused.value.message


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([file for file, _ in LENGTHS.values()]), st.data())
def test_no_file_however_broken_is_more_than_a_problem(file: bytes, data: st.DataObject) -> None:
    broken = bytearray(file[:2000])
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = measure(BytesIO(broken))
    except Problem:
        return
    assert 0 < found.length_ms <= 4 * 3600 * 1000


def test_the_name_and_the_clients_word_are_not_asked() -> None:
    assert [sniff(file) for file in (b"\xff\xf1\x58", b"\xff\xfb\x90", b"\xff\x00", b"", b"MZ")] == [
        *("aac", "mp3", None, None, None)
    ]
