"""An upload as multipart/form-data (RFC 7578). Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Final

from app.providers.body import StreamedBody

MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+(?:; ?[a-z0-9-]+=[a-z0-9.+-]+)*", re.IGNORECASE)


def multipart(fields: Mapping[str, str], data: bytes, media_type: str, name: str) -> tuple[bytes, StreamedBody]:
    """(content type, body): the fields, then the file as `file`. Raises ValueError for what is no media type."""
    if not MEDIA_TYPE.fullmatch(media_type):
        raise ValueError("not a media type")
    boundary = secrets.token_hex(16)
    begin = f"--{boundary}\r\ncontent-disposition: form-data; name="
    lines = "".join(f'{begin}"{field}"\r\n\r\n{value}\r\n' for field, value in fields.items())
    lines += f'{begin}"file"; filename="{_quoted(name)}"\r\ncontent-type: {media_type}\r\n\r\n'
    body = StreamedBody((lines.encode("utf-8", "replace"), data, f"\r\n--{boundary}--\r\n".encode()))
    return f"multipart/form-data; boundary={boundary}".encode(), body


def _quoted(name: str) -> str:
    """As browsers write it."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A") or "file"
