"""Rows of keys for tests: nothing but a name is given, unless a test says so."""

from __future__ import annotations

from app.core.identity import new_uuid
from app.storage.key_rows import KeyRow

PLAIN = KeyRow(
    id="",
    name="",
    hint="cm_00000",
    permissions="*",
    scopes="",
    allowed_domains="*",
    allowed_models="*",
    allowed_search_providers="*",
    rpm=None,
    budget_ucr=None,
    logs_enabled=False,
    prompt_logging_enabled=False,
    expires_us=None,
    is_active=True,
    created_us=0,
)


def key_row(name: str, at_us: int) -> KeyRow:
    """A new key of that name; `_replace` gives it more."""
    return PLAIN._replace(id=new_uuid(at_us), name=name, created_us=at_us)
