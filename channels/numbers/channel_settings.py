"""The older settings of a channel (spec.md section 15): views of the organisation's first number of each provider."""

from __future__ import annotations

from typing import TypeVar

from app.core.errors import Problem
from app.core.numbers_api import (
    MetaSettings,
    NewNumber,
    Number,
    NumberChange,
    Provider,
    SettingsCheck,
    ShownMetaSettings,
    ShownTwilioSettings,
    TwilioSettings,
    given,
)
from channels.numbers.connections import Connections

Shown = TypeVar("Shown", ShownMetaSettings, ShownTwilioSettings)
#: What a check may fail of without being a fault of the request.
FAILURES = ("conflict", "provider_error")


class ChannelSettings:
    """Settings of any tenant; each method names whose. `address` is what the webhook's URL begins with."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def show_meta(self, tenant_id: str, address: str) -> ShownMetaSettings:
        return _view(ShownMetaSettings, await self._first(tenant_id, "meta", address))

    async def show_twilio(self, tenant_id: str, address: str) -> ShownTwilioSettings:
        return _view(ShownTwilioSettings, await self._first(tenant_id, "twilio", address))

    async def change_meta(self, tenant_id: str, change: MetaSettings, address: str) -> ShownMetaSettings:
        """Connects the number when there is none yet. Raises Problem 400, 409."""
        return _view(ShownMetaSettings, await self._change(tenant_id, "meta", change, address))

    async def change_twilio(self, tenant_id: str, change: TwilioSettings, address: str) -> ShownTwilioSettings:
        """Connects the number when there is none yet. Raises Problem 400, 409."""
        return _view(ShownTwilioSettings, await self._change(tenant_id, "twilio", change, address))

    async def verify(self, tenant_id: str, provider: Provider, address: str) -> SettingsCheck:
        """Ask the provider."""
        number = await self._first(tenant_id, provider, address)
        if number is None:
            return SettingsCheck("not_configured")
        try:
            checked = await self._connections.verify(tenant_id, number.id, address)
        except Problem as problem:
            if problem.code not in FAILURES:
                raise
            return SettingsCheck("error", problem.message)
        return SettingsCheck("connected" if checked.state == "connected" else "error", checked.error)

    async def _change(
        self, tenant_id: str, provider: Provider, change: MetaSettings | TwilioSettings, address: str
    ) -> Number:
        """The number that is named, else the first one, which may be corrected until it is in use, else a new one."""
        fields = given(change)
        numbers = await self._of(tenant_id, provider, address)
        named = fields.get("phone_number_id") or fields.get("phone_number")
        number = next((each for each in numbers if _account(each) == named), numbers[0] if numbers else None)
        if number is None:
            return await self._connections.create(tenant_id, NewNumber(provider=provider, **fields), address)
        return await self._connections.change(tenant_id, number.id, NumberChange(**fields), address)

    async def _first(self, tenant_id: str, provider: Provider, address: str) -> Number | None:
        return next(iter(await self._of(tenant_id, provider, address)), None)

    async def _of(self, tenant_id: str, provider: Provider, address: str) -> list[Number]:
        numbers = await self._connections.list(tenant_id, address)
        return [number for number in numbers.data if number.provider == provider]


def _account(number: Number) -> str:
    return number.phone_number_id if number.provider == "meta" else number.phone_number


def _view(shown: type[Shown], number: Number | None) -> Shown:
    """Those fields of the number; all of them empty when there is none."""
    if number is None:
        return shown()
    return shown(**{name: getattr(number, name) for name in shown.__struct_fields__})
