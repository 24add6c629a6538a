"""Addresses of stored images that need no key: whose image, until when, and a signature over both (spec.md section 11).

A link is judged as text, character by character: what was changed in any way is no link, even where it would decode to
the same.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import Final

from app.core.sealing import derived_key

#: What `new_id("img_", ...)` makes.
IMAGE_ID: Final = re.compile(r"img_[0-9A-V]{26}")
_TOKEN: Final = re.compile(rf"(([\w-]{{1,64}})\.({IMAGE_ID.pattern})\.([0-9]{{1,12}}))\.([\w-]{{43}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImageLink:
    """One tenant's image, to be had until `expires_s`, in seconds since 1970."""

    tenant_id: str
    image_id: str
    expires_s: int


class ImageLinks:
    """Makes and reads links; every process with the same secret understands them."""

    __slots__ = ("_key",)

    def __init__(self, secret: str) -> None:
        self._key = derived_key(secret, "links to images")

    def sign(self, link: ImageLink) -> str:
        """The link as one segment of a path."""
        text = f"{link.tenant_id}.{link.image_id}.{link.expires_s}"
        return f"{text}.{self._signature(text)}"

    def read(self, token: str, now_s: int) -> ImageLink | None:
        """None for what is not ours, was changed, or is over."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        text, tenant_id, image_id, expires_s, signature = match.groups()
        if not hmac.compare_digest(signature, self._signature(text)) or int(expires_s) <= now_s:
            return None
        return ImageLink(tenant_id, image_id, int(expires_s))

    def _signature(self, text: str) -> str:
        digest = hmac.digest(self._key, text.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
