"""The one base64 text in a JSON answer, decoded while it arrives."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Final

#: `"audios": ["` of Sarvam, `"audio": "` of Cloudflare.
FIELD: Final = re.compile(rb'"audios?"\s*:\s*(?:\[\s*)?"')
#: The field comes within so many bytes, or this is another answer.
LEAD_BYTES: Final = 64 * 1024


class Base64Field:
    """Feed it the body: before the field begins the text piles up in `lead`, then the field's bytes come out."""

    def __init__(self) -> None:
        self.lead = b""
        self.began = False
        #: The text has been closed by its quote.
        self.ended = False
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What `data` brings. Raises ValueError for what is no base64."""
        if not self.began:
            self.lead += data
            found = FIELD.search(self.lead)
            if found is None:
                return b""
            self.began, data = True, self.lead[found.end() :]
            self.lead = self.lead[: found.end()]
        if self.ended:
            return b""
        text, quote, _ = data.partition(b'"')
        text = self._rest + text.replace(b"\\", b"")  # JSON may write / as \/
        self.ended = bool(quote)
        cut = len(text) if self.ended else len(text) // 4 * 4
        self._rest = text[cut:]
        return b64decode(text[:cut], validate=True)
