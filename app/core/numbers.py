"""The secrets of a connected number, as they are sealed, and how they are shown."""

from __future__ import annotations

from typing import Final

import msgspec


class Secrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of Meta: `access_token`, `app_secret` (and the one before, while it is rotated), `verify_token`. Of Twilio:
    `auth_token`, and if the tenant gave one an API key instead of it for sending."""

    access_token: str = ""
    app_secret: str = ""
    old_app_secret: str = ""
    verify_token: str = ""
    auth_token: str = ""
    api_key_sid: str = ""
    api_key_secret: str = ""


def secrets_context(tenant_id: str, number_id: str) -> str:
    """What a number's secrets are sealed with, so that they open for this number only."""
    return f"number {number_id} of {tenant_id}"


#: What the digest of a verify token is made with: `Sealer.digest(verify_token, VERIFY_CONTEXT)`.
VERIFY_CONTEXT: Final = "verify token of a number"


def mask(secret: str) -> str:
    """First four, eight bullets, last four (spec.md section 15); a short one shows nothing of itself."""
    bullets = "\N{BULLET}" * 8
    if not secret:
        return ""
    return f"{secret[:4]}{bullets}{secret[-4:]}" if len(secret) >= 16 else bullets
