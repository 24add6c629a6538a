"""What the steps of the schema are written in besides SQL that both engines know."""

from __future__ import annotations

Steps = tuple[tuple[str, tuple[str, ...]], ...]


class OnPostgres(str):
    """A statement that SQLite has no word for."""

    __slots__ = ()


def one_tenant(table: str, column: str = "tenant_id") -> tuple[OnPostgres, ...]:
    """Row-level security: a transaction sees the rows of the tenant it entered, or all when it entered all."""
    entered = "(SELECT current_setting('gateway.tenant', true))"
    return (
        OnPostgres(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        OnPostgres(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
        OnPostgres(f"CREATE POLICY one_tenant ON {table} USING ({column} = {entered} OR {entered} = '*')"),
    )
