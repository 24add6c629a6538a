"""Addresses of stored files that need no key: whose file, until when, and a signature over both (spec.md section 11).

A link is judged as text, character by character: what was changed in any way is no link, even where it would decode to
the same. Images and media have keys of their own, so that no link of one kind is a link of the other.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import Final

from app.core.sealing import derived_key

#: What `new_id` makes of "img_" and "med_".
IMAGE_ID: Final = re.compile(r"img_[0-9A-V]{26}")
MEDIA_ID: Final = re.compile(r"med_[0-9A-V]{26}")


@dataclass(frozen=True, slots=True)
class FileLink:
    """One tenant's file, to be had until `expires_s`, in seconds since 1970."""

    tenant_id: str
    file_id: str
    expires_s: int


class FileLinks:
    """Makes and reads links; every process with the same secret understands them."""

    __slots__ = ("_key", "_token")

    def __init__(self, secret: str, purpose: str, file_id: re.Pattern[str]) -> None:
        self._key = derived_key(secret, purpose)
        self._token = re.compile(rf"(([\w-]{{1,64}})\.({file_id.pattern})\.([0-9]{{1,12}}))\.([\w-]{{43}})", re.ASCII)

    def sign(self, link: FileLink) -> str:
        """The link as one segment of a path."""
        text = f"{link.tenant_id}.{link.file_id}.{link.expires_s}"
        return f"{text}.{self._signature(text)}"

    def read(self, token: str, now_s: int) -> FileLink | None:
        """None for what is not ours, was changed, or is over."""
        match = self._token.fullmatch(token)
        if match is None:
            return None
        text, tenant_id, file_id, expires_s, signature = match.groups()
        if not hmac.compare_digest(signature, self._signature(text)) or int(expires_s) <= now_s:
            return None
        return FileLink(tenant_id, file_id, int(expires_s))

    def _signature(self, text: str) -> str:
        digest = hmac.digest(self._key, text.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def image_links(secret: str) -> FileLinks:
    """To images that were generated."""
    return FileLinks(secret, "links to images", IMAGE_ID)


def media_links(secret: str) -> FileLinks:
    """To files of messages."""
    return FileLinks(secret, "links to media", MEDIA_ID)
