"""Signatures of webhooks, as each provider makes them (wire/whatsapp-meta.md 2, whatsapp-twilio.md 2)."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable


def meta_signature(app_secret: str, body: bytes) -> str:
    """The value of X-Hub-Signature-256."""
    return "sha256=" + hmac.new(app_secret.encode(), body, "sha256").hexdigest()


def twilio_signature(auth_token: str, url: str, params: Iterable[tuple[str, str]]) -> str:
    """The value of X-Twilio-Signature: the URL, then every name with each distinct value, all in byte order."""
    pairs = sorted({(name.encode(), value.encode()) for name, value in params})
    text = url.encode() + b"".join(name + value for name, value in pairs)
    return b64encode(hmac.new(auth_token.encode(), text, "sha1").digest()).decode()
