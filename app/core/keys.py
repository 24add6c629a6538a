"""Keys as the platform API takes and shows them (spec.md section 16): bodies, bounds, objects."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from app.core.amounts import Amount
from app.core.chat_fields import Body, Wire
from app.core.times import Cursor, PageSize

KeyName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        description="no other live key's of the organisation",
        examples=["production"],
    ),
]
Words = Annotated[str, Meta(max_length=4000)]
Permissions = Annotated[Words, Meta(description='comma-separated llm, stt, tts, search, image; "" for none, * for all')]
Scopes = Annotated[Words, Meta(description='comma-separated, such as usage:read; "" for none, * for all')]
Domains = Annotated[Words, Meta(description="comma-separated hosts or origins whose pages may use the key; * for all")]
ModelNames = Annotated[Words, Meta(description="comma-separated model ids; * for all")]
SearchProviders = Annotated[Words, Meta(description="comma-separated serper, exa, tavily, brave, searxng; * for all")]
Rpm = Annotated[int, Meta(ge=1, le=100_000, description="requests a minute; null takes the plan's")]
Days = Annotated[int, Meta(ge=1, le=365, description="days from now; null is never")]
Switch = Annotated[bool, Meta(description="kept with the key; no log has prompts or answers in it, whatever this says")]
MONTHLY: Final = Meta(description="credits a calendar month (UTC); null is no limit")


class NewKey(Body, frozen=True):
    """The body of POST /api/v1/keys."""

    name: KeyName
    permissions: Permissions = "*"
    scopes: Scopes = ""
    allowed_domains: Domains = "*"
    allowed_models: ModelNames = "*"
    allowed_search_providers: SearchProviders = "*"
    rate_limit_rpm: Rpm | None = None
    budget_limit: Annotated[Amount | None, MONTHLY] = None
    logs_enabled: Switch = False
    prompt_logging_enabled: Switch = False
    expires_in_days: Days | None = None


class KeyChange(Body, frozen=True):
    """The body of PATCH /api/v1/keys/{id}: what is left out stays as it is. It holds from the key's next call on."""

    name: KeyName | UnsetType = UNSET
    permissions: Permissions | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    allowed_domains: Domains | UnsetType = UNSET
    allowed_models: ModelNames | UnsetType = UNSET
    allowed_search_providers: SearchProviders | UnsetType = UNSET
    rate_limit_rpm: Rpm | UnsetType | None = UNSET
    budget_limit: Annotated[Amount | UnsetType | None, MONTHLY] = UNSET
    logs_enabled: Switch | UnsetType = UNSET
    prompt_logging_enabled: Switch | UnsetType = UNSET
    expires_in_days: Days | UnsetType | None = UNSET


class KeyQuery(Wire, frozen=True):
    limit: PageSize = 50
    before: Cursor | None = None
    include_revoked: bool = False


class Key(msgspec.Struct, frozen=True):
    """A key without its text: `hint` is how that begins. `expires_in_days` counts from now, a begun day as one."""

    id: str
    name: str
    hint: str
    permissions: str
    scopes: str
    allowed_domains: str
    allowed_models: str
    allowed_search_providers: str
    rate_limit_rpm: int | None
    budget_limit: float | None
    budget_used: float
    budget_remaining: float | None
    logs_enabled: bool
    prompt_logging_enabled: bool
    expires_in_days: int | None
    expires_at: str | None
    is_active: bool
    created_at: str


class SecretKey(Key, frozen=True):
    """A key and its text, which is shown this once."""

    key: str


class KeyPage(msgspec.Struct, frozen=True):
    data: list[Key]
    next_cursor: str | None


class KeyRateState(msgspec.Struct, frozen=True):
    """What is left to the key of this minute and this month; at `reset_at` none of the minute's requests count."""

    rate_limit_rpm: int
    used: int
    remaining: int
    reset_at: str
    budget_limit: float | None
    budget_used: float
    budget_remaining: float | None
