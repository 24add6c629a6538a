"""A multipart form as it arrives: fields are kept, the one file is handed on piece by piece.

python-multipart (Apache-2.0, in Starlette's keeping) does the parsing: incremental, bounded, no I/O. werkzeug's sans-io
decoder, which comes with Quart, lets a stray CR into the file when a boundary arrives in two pieces (3.1.9).
"""

from __future__ import annotations

import re
from email.message import Message
from typing import Final

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.core.errors import Problem

MOST_PARTS: Final = 100
#: For the heads of parts and all fields together; a file is not kept here.
FIELDS_CAP: Final = 64 * 1024
BOUNDARY: Final = re.compile(r"[!-~ ]{0,69}[!-~]")


class Form:
    """Feed it the body; `fields` are complete when `finish` returns."""

    def __init__(self, content_type: str | None) -> None:
        """Raises Problem 400 when the body is no multipart form."""
        self.fields: dict[str, list[str]] = {}
        #: Whether a file has begun, and the name it was sent with.
        self.has_file = False
        self.file_name = b""
        self._parser = MultipartParser(
            _boundary(content_type),
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._take_header_name,
                "on_header_value": self._take_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_data,
                "on_part_data": self._take_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )
        self._parts = 0
        self._kept = 0
        self._header = bytearray(), bytearray()
        self._disposition = b""
        #: The field being read, None for the file.
        self._name: str | None = None
        self._value = bytearray()
        self._pieces: list[bytes] = []
        self._ended = False

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of the file that `data` brings. Raises Problem 400 for what is no form."""
        try:
            self._parser.write(data)
        except (FormParserError, ValueError):
            raise _broken("is broken") from None
        pieces, self._pieces = self._pieces, []
        return pieces

    def finish(self) -> None:
        """The body is over. Raises Problem 400 when it broke off, or when a file is missing."""
        if not self._ended:
            raise _broken("is incomplete")
        if not self.has_file:
            raise Problem("missing_required_parameter", "file is required: send a recording in the form.", "file")

    def parts(self) -> tuple[bytes, ...]:
        """All but the bytes of the file: the same for the same form, in whatever order its fields came."""
        return self.file_name, msgspec.json.encode(sorted(self.fields.items()))

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _broken("has too many parts")
        self._disposition = b""

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._keep(self._header[0], data, start, end)

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._keep(self._header[1], data, start, end)

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = bytearray(), bytearray()

    def _begin_data(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self._name = name
        if b"filename" not in options:
            return
        if name != "file":
            raise Problem("invalid_value", "Send one file, in the field `file`.", name[:64] or "file")
        if self.has_file:
            raise Problem("invalid_value", "Send one file.", "file")
        self.has_file, self._name, self.file_name = True, None, options[b"filename"]

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._name is None:
            self._pieces.append(data[start:end])
        else:
            self._keep(self._value, data, start, end)

    def _end_part(self) -> None:
        if self._name is not None:
            self.fields.setdefault(self._name, []).append(self._value.decode())
            self._value.clear()

    def _end(self) -> None:
        self._ended = True

    def _keep(self, where: bytearray, data: bytes, start: int, end: int) -> None:
        self._kept += end - start
        if self._kept > FIELDS_CAP:
            raise _broken("has too large fields")
        where += data[start:end]


def _broken(reason: str) -> Problem:
    return Problem("invalid_request_error", f"The multipart form {reason}. Send it again.")


def _boundary(content_type: str | None) -> bytes:
    message = Message()
    message["content-type"] = content_type or ""
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise Problem(
            "invalid_request_error",
            "Send the recording as multipart/form-data with a boundary, as `file=@speech.mp3` does.",
        )
    if not BOUNDARY.fullmatch(boundary):
        raise Problem("invalid_request_error", "The boundary of the multipart form is not a valid one.")
    return boundary.encode("ascii")
