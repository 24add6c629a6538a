"""`/api/v1/settings`: the first number of each provider in the older form, which has one of each."""

from __future__ import annotations

from typing import Final

from app.api.exchange import Exchange
from app.api.numbers import READ, WRITE
from app.api.platform import Platform
from app.api.services import ApiServices, address_of
from app.core.identity import Visitor
from app.core.numbers_api import (
    MetaSettings,
    SettingsCheck,
    ShownMetaSettings,
    ShownTwilioSettings,
    TwilioSettings,
)

META: Final = "/api/v1/settings/whatsapp"
TWILIO: Final = "/api/v1/settings/twilio"
META_EXAMPLE: Final = {"phone_number_id": "106540352242922", "access_token": "EAAG-your-system-user-token"}
TWILIO_EXAMPLE: Final = {"phone_number": "+14155238886", "account_sid": "AC0123", "auth_token": "your-auth-token"}


def platform(services: ApiServices) -> Platform:
    api = Platform("settings", services)
    settings = services.office.settings

    @api.add("GET", META, **READ)
    async def show_whatsapp_settings(visitor: Visitor, exchange: Exchange) -> ShownMetaSettings:
        """Show the first number of Meta's. Secrets are masked; what is not set is empty."""
        return await settings.show_meta(visitor.tenant_id, address_of(services, exchange))

    @api.add("PUT", META, **WRITE, errors=("conflict",), example=META_EXAMPLE)
    async def change_whatsapp_settings(visitor: Visitor, body: MetaSettings, exchange: Exchange) -> ShownMetaSettings:
        """Connect or change the first number of Meta's; what is left out, or sent back as it was shown, stays."""
        return await settings.change_meta(visitor.tenant_id, body, address_of(services, exchange))

    @api.add("POST", f"{META}/verify", **WRITE)
    async def verify_whatsapp_settings(visitor: Visitor, exchange: Exchange) -> SettingsCheck:
        """Ask Meta whether the token opens the number."""
        return await settings.verify(visitor.tenant_id, "meta", address_of(services, exchange))

    @api.add("GET", TWILIO, **READ)
    async def show_twilio_settings(visitor: Visitor, exchange: Exchange) -> ShownTwilioSettings:
        """Show the first number of Twilio's. Secrets are masked; what is not set is empty."""
        return await settings.show_twilio(visitor.tenant_id, address_of(services, exchange))

    @api.add("PUT", TWILIO, **WRITE, errors=("conflict",), example=TWILIO_EXAMPLE)
    async def change_twilio_settings(visitor: Visitor, body: TwilioSettings, exchange: Exchange) -> ShownTwilioSettings:
        """Connect or change the first number of Twilio's; what is left out, or sent back as it was shown, stays."""
        return await settings.change_twilio(visitor.tenant_id, body, address_of(services, exchange))

    @api.add("POST", f"{TWILIO}/verify", **WRITE)
    async def verify_twilio_settings(visitor: Visitor, exchange: Exchange) -> SettingsCheck:
        """Ask Twilio whether the token opens the account."""
        return await settings.verify(visitor.tenant_id, "twilio", address_of(services, exchange))

    return api
