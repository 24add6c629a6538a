"""Server-sent events as bytes: a decoder for any chunking, and the encoding of one event; text is never decoded."""

from __future__ import annotations

from typing import Final

DONE: Final = b"[DONE]"
MAX_LINE: Final = 8 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_END: Final = b"\n\n"
#: Legal inside JSON, yet a line break to every client that splits text with `str.splitlines` (compat.md S7).
_BREAKS: Final = (
    (b"\xc2\x85", rb"\u0085"),
    (b"\xe2\x80\xa8", rb"\u2028"),
    (b"\xe2\x80\xa9", rb"\u2029"),
)


class Decoder:
    """Bytes in, complete `data:` payloads out; comments, `event:`, `id:` and `retry:` are dropped.

    Events may be cut anywhere, end their lines with LF, CRLF or CR, and begin with a byte order mark. Several `data:`
    lines of one event are joined by LF; an event without data is nothing. An event (so a line, too) of more than
    `max_line` bytes raises ValueError, after which the decoder is of no more use.
    """

    __slots__ = ("_after_cr", "_buffer", "_fresh", "_max_line")

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._buffer = bytearray()
        self._fresh = True
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes, in order."""
        if (
            data.startswith(b"data: ")
            and data.endswith(_END)
            and not (self._buffer or self._fresh or self._after_cr)
            and len(data) <= self._max_line
        ):
            # Whole events of one line each, as nearly every read is: one split takes them apart.
            payloads = data[6:-2].split(b"\n\ndata: ")
            if data.count(b"\n") == 2 * len(payloads) and data.find(b"\r") < 0 and b"" not in payloads:
                return payloads
        return self._feed_any(data) if data else []

    def end(self) -> list[bytes]:
        """What the stream still held when it ended without its last blank line."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return self._payloads(rest)

    def _feed_any(self, data: bytes) -> list[bytes]:
        if self._fresh:
            data = self._without_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        buffer = self._buffer
        if buffer:
            unread = len(buffer) - 1
            buffer += data
            end = buffer.rfind(_END, unread)
            block = bytes(buffer[:end]) if end >= 0 else b""
            if end >= 0:
                del buffer[: end + 2]
        else:
            end = data.rfind(_END)
            block = data[:end] if end >= 0 else b""
            buffer += data[end + 2 :] if end >= 0 else data
        if len(buffer) > self._max_line:
            raise self._too_long()
        return self._payloads(block) if block else []

    def _payloads(self, block: bytes) -> list[bytes]:
        events = block.split(_END)
        if len(block) > self._max_line and any(len(event) > self._max_line for event in events):
            raise self._too_long()
        payloads = []
        for event in events:
            if payload := _payload(event):
                payloads.append(payload)
        return payloads

    def _without_bom(self, data: bytes) -> bytes:
        data = bytes(self._buffer) + data
        self._buffer.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._buffer += data
            return b""
        self._fresh = False
        return data.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """A CR ends its line at once; the LF that may follow it in a later read is swallowed then."""
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _too_long(self) -> ValueError:
        return ValueError(f"an event of the stream is longer than {self._max_line} bytes")


def _payload(event: bytes) -> bytes:
    values = [
        line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:") or line == b"data"
    ]
    return b"\n".join(values)


def event(name: str | None, payload: bytes) -> bytes:
    """One event; `payload` is JSON on one line. Chat events have no name (compat.md S9)."""
    if name is None:
        return b"data: %b\n\n" % payload
    return b"event: %b\ndata: %b\n\n" % (name.encode(), payload)


def line_safe(data: bytes) -> bytes:
    """Encoded events whose JSON holds no character that some client takes for the end of a line."""
    if not data.isascii():
        for raw, escaped in _BREAKS:
            data = data.replace(raw, escaped)
    return data
