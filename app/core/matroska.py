"""How long a WebM or Matroska recording is: its own figure, else the time of its last block.

Browsers record WebM as a stream: without a duration, with clusters of unknown size (RFC 8794, RFC 9559).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

EBML: Final = 0x1A45DFA3
SEGMENT: Final = 0x18538067
INFO: Final = 0x1549A966
TIMESTAMP_SCALE: Final = 0x2AD7B1
DURATION: Final = 0x4489
CLUSTER: Final = 0x1F43B675
CLUSTER_TIMESTAMP: Final = 0xE7
SIMPLE_BLOCK: Final = 0xA3
BLOCK_GROUP: Final = 0xA0
BLOCK: Final = 0xA1
#: Entered rather than skipped.
MASTERS: Final = frozenset({SEGMENT, INFO, CLUSTER, BLOCK_GROUP})
#: Read; the rest of a block is sound.
VALUES: Final = {TIMESTAMP_SCALE: 8, DURATION: 8, CLUSTER_TIMESTAMP: 8, SIMPLE_BLOCK: 11, BLOCK: 11}
MILLISECOND_NS: Final = 1_000_000
LONGEST: Final = 1e12
#: What the last block holds, as browsers write it: one Opus packet.
LAST_BLOCK_MS: Final = 20


def matroska_length_ms(file: BinaryIO) -> int | None:
    """None when the file says nothing about time."""
    scale_ns, cluster, last = MILLISECOND_NS, 0, -1
    for element, value in _elements(file):
        if element == TIMESTAMP_SCALE:
            scale_ns = int.from_bytes(value) or MILLISECOND_NS
        elif element == DURATION:
            if (duration := _float(value)) is not None:
                return math.ceil(duration * scale_ns / MILLISECOND_NS)
        elif element == CLUSTER_TIMESTAMP:
            cluster = int.from_bytes(value)
        elif (offset := _block_offset(value)) is not None:
            last = max(last, cluster + offset)
    return None if last < 0 else last * scale_ns // MILLISECOND_NS + LAST_BLOCK_MS


def _elements(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The values of interest in file order, until the file ends or stops making sense."""
    file.seek(0)
    while (element := _number(file, keep_marker=True)) is not None and (size := _number(file)) is not None:
        if element in MASTERS:
            continue
        kept = VALUES.get(element, 0)
        value = file.read(min(size, kept))
        if kept:
            yield element, value
        file.seek(size - len(value), 1)


def _number(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """An EBML number of 1 to 8 bytes: the place of its first set bit says how many."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    if len(rest) < more:
        return None
    lead = first[0] if keep_marker else first[0] & (0x7F >> more)
    return int.from_bytes(bytes([lead]) + rest)


def _float(value: bytes) -> float | None:
    """A duration that can be one; Info comes before the sound, and its scale before its duration."""
    if len(value) not in (4, 8):
        return None
    duration: float = struct.unpack(">f" if len(value) == 4 else ">d", value)[0]
    return duration if 0 < duration < LONGEST else None


def _block_offset(head: bytes) -> int | None:
    """The time of a block within its cluster: behind its track number, two bytes with sign."""
    if not head or not head[0]:
        return None
    at = 9 - head[0].bit_length()
    return int.from_bytes(head[at : at + 2], signed=True) if len(head) >= at + 2 else None
