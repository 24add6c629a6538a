"""Answers read from bytes as they arrive: HTTP/1.1 framing, and the tokens of a stream. Pure and cheap."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec


class ResponseReader:
    """One response, framed by content-length or by chunks without trailers; ValueError for any other."""

    __slots__ = ("_buffer", "_left", "done", "headers", "keeps_open", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.keeps_open = True
        self.done = False
        self._buffer = bytearray()
        self._left: int | None = None

    def feed(self, data: bytes) -> bytes:
        """The body's bytes that are complete with `data`; sets `done` after the last."""
        self._buffer += data
        if not self.status and not self._read_head():
            return b""
        return self._read_chunks() if self._left is None else self._read_sized(self._left)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        self.headers = headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        self.status = int(first.split()[1])
        self.keeps_open = headers.get("connection", "").lower() != "close"
        if "content-length" in headers:
            self._left = int(headers["content-length"])
        elif headers.get("transfer-encoding", "").lower() != "chunked":
            raise ValueError(f"the answer has neither content-length nor chunks: {first}")
        return True

    def _read_sized(self, left: int) -> bytes:
        body = bytes(self._buffer[:left])
        del self._buffer[:left]
        self._left = left - len(body)
        self.done = self._left == 0
        return body

    def _read_chunks(self) -> bytes:
        body = bytearray()
        buffer, at = self._buffer, 0
        while not self.done and (end := buffer.find(b"\r\n", at)) >= 0:
            size = int(buffer[at:end].partition(b";")[0], 16)
            start = end + 2
            if len(buffer) < start + size + 2:
                break
            body += buffer[start : start + size]
            at = start + size + 2
            self.done = size == 0
        del buffer[:at]
        return bytes(body)


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    error: msgspec.Raw = msgspec.Raw()


_CHUNK = msgspec.json.Decoder(_Chunk)


class EventReader(Protocol):
    """Reads one stream: `feed` says how many tokens are complete, `done` whether its end mark came."""

    done: bool
    error: str | None

    def feed(self, body: bytes) -> int: ...


class StreamReader:
    """The events of one chat stream: how many carried text, whether `[DONE]` came, and the first error in it."""

    __slots__ = ("_buffer", "done", "error")

    def __init__(self) -> None:
        self.done = False
        self.error: str | None = None
        self._buffer = b""

    def feed(self, body: bytes) -> int:
        """How many tokens are complete with `body`: events whose text is not empty."""
        *lines, self._buffer = (self._buffer + body).split(b"\n")
        return sum(self._has_text(line[5:].strip()) for line in lines if line.startswith(b"data:"))

    def _has_text(self, data: bytes) -> bool:
        if data == b"[DONE]":
            self.done = True
            return False
        try:
            chunk = _CHUNK.decode(data)
        except msgspec.DecodeError as problem:
            chunk = _Chunk(error=msgspec.Raw(f"{problem}: {data!r}".encode()))
        if bytes(chunk.error) not in {b"", b"null"} and self.error is None:
            self.error = bytes(chunk.error).decode(errors="replace")
        return any(choice.delta.content for choice in chunk.choices)


class _Typed(msgspec.Struct):
    type: str = ""


_TYPED = msgspec.json.Decoder(_Typed)
#: What carries a token, and what ends the stream, of `/v1/responses` and of `/v1/messages`.
RESPONSES: Final = ("response.output_text.delta", "response.completed")
MESSAGES: Final = ("content_block_delta", "message_stop")


class TypedReader:
    """The events of a stream whose data says its own type: how many of type `token`, and whether `end` came."""

    __slots__ = ("_buffer", "_end", "_token", "done", "error")

    def __init__(self, token: str, end: str) -> None:
        self.done = False
        self.error: str | None = None
        self._token = token
        self._end = end
        self._buffer = b""

    def feed(self, body: bytes) -> int:
        """How many tokens are complete with `body`."""
        *lines, self._buffer = (self._buffer + body).split(b"\n")
        types = [self._type(line[5:]) for line in lines if line.startswith(b"data:")]
        self.done = self.done or self._end in types
        return types.count(self._token)

    def _type(self, data: bytes) -> str:
        try:
            found = _TYPED.decode(data).type
        except msgspec.DecodeError as problem:
            found = f"error: {problem}"
        if self.error is None and ("error" in found or "failed" in found):
            self.error = data.decode(errors="replace")
        return found
