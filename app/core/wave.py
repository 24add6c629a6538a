"""WAV as we meet it: where its sound lies, how long it is, and the header of one whose length is not known yet."""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final

#: What a writer that cannot go back puts where a size belongs.
UNKNOWN_SIZE: Final = 0xFFFFFFFF
PCM: Final = 1
HEADER_BYTES: Final = 44
#: The sound of a WAV that is made while it is sent begins within so many bytes.
MOST_HEAD_BYTES: Final = 64 * 1024
#: A file with more chunks than this before its sound is no recording.
MOST_CHUNKS: Final = 1000


@dataclass(frozen=True, slots=True)
class Wave:
    """The sound of a WAV file: `size` bytes from `start`. `codec` 1 is plain PCM."""

    codec: int
    channels: int
    rate: int
    bytes_per_s: int
    block: int
    bits: int
    start: int
    size: int

    @property
    def length_ms(self) -> int:
        return -(-self.size * 1000 // self.bytes_per_s)

    def header(self, size: int = UNKNOWN_SIZE) -> bytes:
        """The header of a file of its own with `size` bytes of this sound."""
        return pcm_header(self.rate, self.channels, self.bits, size)


def pcm_header(rate: int, channels: int = 1, bits: int = 16, size: int = UNKNOWN_SIZE) -> bytes:
    """44 bytes that turn PCM into WAV; a size that is not known yet reads as "until the file ends"."""
    riff = min(size + HEADER_BYTES - 8, UNKNOWN_SIZE)
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", PCM, channels, rate, rate * block, block, bits)
    return b"RIFF%bWAVEfmt %b%bdata%b" % (_u32(riff), _u32(len(form)), form, _u32(size))


def read_wave(file: BinaryIO, length: int) -> Wave | None:
    """The sound in a RIFF file of `length` bytes; None when there is none. A size that is a lie ends with the file."""
    file.seek(12)
    form: tuple[int, ...] | None = None
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return None
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"fmt ":
            body = file.read(16)
            if len(body) < 16 or size < 16:
                return None
            form = struct.unpack("<HHIIHH", body)
            file.seek(size - 16 + size % 2, 1)
        elif head[:4] == b"data":
            start = file.tell()
            return _sound(form, start, min(size or UNKNOWN_SIZE, length - start))
        else:
            file.seek(size + size % 2, 1)
    return None


def _sound(form: tuple[int, ...] | None, start: int, size: int) -> Wave | None:
    if form is None:
        return None
    codec, channels, rate, bytes_per_s, block, bits = form
    extensible = codec == 0xFFFE
    if codec in (PCM, 0xFFFE) and bits % 8 == 0:
        block = channels * bits // 8
        bytes_per_s = block * rate
    if not (channels and rate and bytes_per_s and block):
        return None
    return Wave(PCM if extensible else codec, channels, rate, bytes_per_s, block, bits, start, size - size % block)


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def quietest(pcm: bytes, wave: Wave) -> int:
    """Where in `pcm` to cut: the middle of its quietest 20 ms; its end for sound that is not 16 bit."""
    frame = max(1, wave.rate // 50) * wave.block
    if wave.bits != 16 or len(pcm) < frame:
        return len(pcm) - len(pcm) % wave.block
    samples = array("h", pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    step = frame // 2
    loudness = [sum(map(abs, samples[at : at + step : 4])) for at in range(0, len(samples) - step + 1, step)]
    at = loudness.index(min(loudness)) * frame + frame // 2
    return at - at % wave.block


class WaveJoiner:
    """Makes one WAV of several: the first one's header without a length, then nothing but sound."""

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._is_first = True

    def begin(self) -> None:
        """Another file follows."""
        self._head = b""

    def feed(self, data: bytes) -> bytes:
        """What goes out for `data`. Raises ValueError for what is no WAV."""
        if self._head is None:
            return data
        self._head += data
        wave = read_wave(BytesIO(self._head), MOST_HEAD_BYTES) if len(self._head) >= HEADER_BYTES else None
        if wave is None or len(self._head) < wave.start:
            if len(self._head) > MOST_HEAD_BYTES or self._head[:4] != b"RIFF"[: len(self._head)]:
                raise ValueError("no WAV")
            return b""
        sound, self._head = self._head[wave.start :], None
        first, self._is_first = self._is_first, False
        return wave.header() + sound if first else sound
