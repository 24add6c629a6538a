"""Secrets that must be read back, such as a webhook's: encrypted at rest under the server's own secret.

AES-256-GCM with a random nonce; the context (whose it is and what for) is authenticated, so that a sealed text copied
into another row does not open. Keys are derived by HKDF (RFC 5869), apart from what else the secret is used for.
"""

from __future__ import annotations

import base64
import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES: Final = 12


def derived_key(secret: str, purpose: str) -> bytes:
    """32 bytes for one purpose; knowing them tells nothing of the secret or of another purpose's."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret.encode())


class Sealer:
    """Seals and opens under the server's secret: with another secret nothing opens any more."""

    __slots__ = ("_cipher", "_digests")

    def __init__(self, secret: str) -> None:
        self._cipher = AESGCM(derived_key(secret, "sealed at rest"))
        self._digests = derived_key(secret, "digests at rest")

    def seal(self, data: bytes, context: str) -> str:
        """`data` as text for a column; another text each time."""
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, data, context.encode())).decode()

    def open(self, text: str, context: str) -> bytes:
        """What was sealed for this context. Raises ValueError when it was not, or under another secret."""
        sealed = base64.b64decode(text, validate=True)
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
        except InvalidTag:
            raise ValueError("not sealed under this secret for this context") from None

    def digest(self, data: str, context: str) -> str:
        """What `data` is recognised by and cannot be guessed by, in hex: only the server's secret makes it."""
        return hmac.digest(self._digests, f"{context}\0{data}".encode(), "sha256").hex()
