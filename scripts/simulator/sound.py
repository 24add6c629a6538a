"""Sound that is worth its name: a hum of the right length, in the formats that speech comes in."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Final

#: How long a character takes to say.
MS_PER_CHARACTER: Final = 60
_HUM_HZ: Final = 220
_LOUDNESS: Final = 6000
#: 128 kbit/s at 44.1 kHz: 417 bytes hold 1152 samples. A frame of zeros is silence.
_MP3_FRAME: Final = b"\xff\xfb\x90\xc4" + bytes(413)
_MP3_MS: Final = 1152 / 44.1
_AAC_MS: Final = 1024 / 24.0
_OPUS_MS: Final = 20
_PACKETS_A_PAGE: Final = 50


def pcm(ms: int, rate: int = 24000) -> bytes:
    """Mono, 16 bit."""
    period = [round(_LOUDNESS * math.sin(2 * math.pi * at * _HUM_HZ / rate)) for at in range(rate // 20)]
    samples = ms * rate // 1000
    whole = struct.pack(f"<{len(period)}h", *period)
    return (whole * (samples // len(period) + 1))[: 2 * samples]


def wav(ms: int, rate: int = 24000) -> bytes:
    sound = pcm(ms, rate)
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    head = struct.pack("<4sI4s4sI", b"RIFF", 36 + len(sound), b"WAVE", b"fmt ", len(form))
    return head + form + struct.pack("<4sI", b"data", len(sound)) + sound


def mp3(ms: int, rate: int = 44100) -> bytes:
    return _MP3_FRAME * max(1, round(ms / _MP3_MS))


def aac(ms: int, rate: int = 24000) -> bytes:
    """ADTS frames at 24 kHz with next to nothing in them."""
    size = 7 + 16
    head = bytes([0xFF, 0xF1, 0x58, 0x40 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC])
    return (head + bytes(16)) * max(1, round(ms / _AAC_MS))


def opus(ms: int, rate: int = 24000) -> bytes:
    """Ogg pages: head, tags, then packets of 20 ms."""
    head = struct.pack("<8sBBHIHB", b"OpusHead", 1, 1, 312, rate, 0, 0)
    tags = struct.pack("<8sI9sI", b"OpusTags", 9, b"simulator", 0)
    pages = [_page([head], 0, 0, first=True), _page([tags], 0, 1)]
    left, at = max(1, ms // _OPUS_MS), 0
    while left:
        count = min(left, _PACKETS_A_PAGE)
        left, at = left - count, at + count
        granule = at * _OPUS_MS * 48 + 312
        pages.append(_page([b"\x08" + bytes(19)] * count, granule, len(pages), last=not left))
    return b"".join(pages)


def flac(ms: int, rate: int = 24000) -> bytes:
    """What a decoder reads first, and as many bytes as the sound would need."""
    samples = ms * rate // 1000
    packed = rate << 44 | 15 << 36 | samples
    info = struct.pack(">HH3s3sQ16s", 4096, 4096, bytes(3), bytes(3), packed, bytes(16))
    return b"fLaC\x80\x00\x00\x22" + info + bytes(samples)


SOUNDS: Final[dict[str, Callable[[int, int], bytes]]] = {
    **{"pcm": pcm, "linear16": pcm, "wav": wav, "mp3": mp3, "aac": aac, "opus": opus, "flac": flac},
}
MEDIA: Final[dict[str, str]] = {
    **{"pcm": "audio/pcm", "linear16": "audio/pcm", "wav": "audio/wav", "mp3": "audio/mpeg", "aac": "audio/aac"},
    **{"opus": "audio/ogg", "flac": "audio/flac"},
}


def length_ms(sound: bytes) -> int:
    """How long a recording is: exactly for plain WAV, else as if it came at 32 kbit/s."""
    if sound[:4] == b"RIFF" and sound[36:40] == b"data":
        rate = int.from_bytes(sound[28:32], "little") or 1
        size = min(int.from_bytes(sound[40:44], "little"), len(sound) - 44)
        return size * 1000 // rate
    return len(sound) // 4


def _page(packets: list[bytes], granule: int, number: int, *, first: bool = False, last: bool = False) -> bytes:
    flags = 2 * first | 4 * last
    table = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 7, number, 0, len(table)) + table
    page = bytearray(head + b"".join(packets))
    page[22:26] = _crc(page).to_bytes(4, "little")
    return bytes(page)


def _crc_row(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


_CRC: Final = [_crc_row(byte) for byte in range(256)]


def _crc(data: bytearray) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ _CRC[value >> 24 ^ byte]
    return value
