"""What an uploaded file is and how long it plays: read from its bytes, never from its name or what the client says.

tinytag (MIT) knows most containers; WAV, WebM and ADTS are read here: their sizes may be missing or wrong where they
were recorded as a stream. mutagen would do the same work, but its licence (GPL-2.0) cannot come with ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal

from tinytag import TinyTag

from app.core.errors import Problem
from app.core.matroska import matroska_length_ms
from app.core.wave import Wave, read_wave

Format = Literal["wav", "mp3", "ogg", "flac", "mp4", "webm", "aac", "aiff"]
HEAD_BYTES: Final = 16
LONGEST_S: Final = 4 * 3600
ACCEPTED: Final = "WAV, MP3, OGG (Opus or Vorbis), FLAC, M4A/MP4, WebM, AAC or AIFF"
MIME: Final[dict[Format, str]] = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "audio/mp4",
    "webm": "audio/webm",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
}
ADTS_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
ADTS_SAMPLES: Final = 1024


@dataclass(frozen=True, slots=True)
class Recording:
    """`length_ms` is how long it plays; `wave` where the sound of a WAV lies."""

    format: Format
    length_ms: int
    wave: Wave | None = None

    @property
    def mime(self) -> str:
        return MIME[self.format]


def measure(file: BinaryIO) -> Recording:
    """Reads, seeks, blocks: call it in a thread. Raises Problem 400 for what is no recording of at most 4 hours."""
    size = file.seek(0, 2)
    if not size:
        raise _bad("The file is empty. Send a recording.")
    file.seek(0)
    found = sniff(file.read(HEAD_BYTES))
    if found is None:
        raise _bad(f"The file is no audio that can be read. Send {ACCEPTED}.")
    wave = read_wave(file, size) if found == "wav" else None
    try:
        length_ms = wave.length_ms if wave else _length_ms(found, file)
    except Exception:  # noqa: BLE001 - whatever a foreign parser stumbles over, the file is not what it says it is
        length_ms = None
    if length_ms is None:
        raise _bad(f"The length of the recording cannot be read. Convert it and send {ACCEPTED}.")
    if length_ms <= 0:
        raise _bad("The recording holds no sound. Send one that does.")
    if length_ms > LONGEST_S * 1000:
        raise _bad(f"The recording is longer than {LONGEST_S // 3600} hours. Send it in parts.")
    return Recording(found, length_ms, wave)


def sniff(head: bytes) -> Format | None:
    """The container by its first bytes."""
    for mark, mask, name in _MARKS:
        if len(head) >= len(mark) and all(
            byte & bits == wanted for byte, bits, wanted in zip(head, mask, mark, strict=False)
        ):
            return name
    return None


def _mark(pattern: bytes, name: Format, mask: bytes | None = None) -> tuple[bytes, bytes, Format]:
    """A `?` stands for any byte."""
    mask = mask or bytes(0 if byte == ord("?") else 0xFF for byte in pattern)
    return bytes(byte & bits for byte, bits in zip(pattern, mask, strict=True)), mask, name


_MARKS: Final = (
    _mark(b"RIFF????WAVE", "wav"),
    _mark(b"RF64????WAVE", "wav"),
    _mark(b"FORM????AIF", "aiff"),
    _mark(b"????ftyp", "mp4"),
    _mark(b"OggS", "ogg"),
    _mark(b"fLaC", "flac"),
    _mark(b"\x1a\x45\xdf\xa3", "webm"),
    _mark(b"ID3", "mp3"),
    # Eleven bits of sync, then the layer: none is ADTS, any other is MPEG audio.
    _mark(b"\xff\xf0", "aac", b"\xff\xf6"),
    _mark(b"\xff\xe2", "mp3", b"\xff\xe6"),
    _mark(b"\xff\xe4", "mp3", b"\xff\xe6"),
    _mark(b"\xff\xe6", "mp3", b"\xff\xe6"),
)


def _length_ms(found: Format, file: BinaryIO) -> int | None:
    match found:
        case "webm":
            return matroska_length_ms(file)
        case "aac":
            return _adts_length_ms(file)
        case "wav":
            return None
    file.seek(0)
    seconds = TinyTag.get(file_obj=file, filename=f"upload.{found}", tags=False).duration
    # Written as a stream, MP4 and FLAC say 0 where they do not know.
    return math.ceil(seconds * 1000) if seconds else None


def _adts_length_ms(file: BinaryIO) -> int | None:
    """By counting frames: the format has no header."""
    file.seek(0)
    frames, rate = 0, 0
    while len(head := file.read(7)) == 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        index, size = head[2] >> 2 & 0xF, (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        if index >= len(ADTS_RATES) or size < 7:
            break
        frames, rate = frames + 1 + (head[6] & 3), ADTS_RATES[index]
        file.seek(size - 7, 1)
    return frames * ADTS_SAMPLES * 1000 // rate if rate else None


def _bad(message: str) -> Problem:
    return Problem("invalid_request_error", message, "file")
