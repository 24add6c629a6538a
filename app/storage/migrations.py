"""The schema, as an ordered list of steps that both engines understand. Steps are only ever added.

Amounts are micro-credits, times microseconds since 1970 in UTC, JSON is text.
"""

from __future__ import annotations

from typing import Final

from app.storage.database import EVERY_TENANT, Database, Transaction

PATIENCE_S: Final = 3600.0
#: The step that says that the database was moved: a version that does not know it takes it for that of a newer one.
MOVED_STEP: Final = 1_000_000


class OnPostgres(str):
    """A statement that SQLite has no word for."""

    __slots__ = ()


def _one_tenant(table: str, column: str = "tenant_id") -> tuple[OnPostgres, ...]:
    """Row-level security: a transaction sees the rows of the tenant it entered, or all when it entered all."""
    entered = "(SELECT current_setting('gateway.tenant', true))"
    return (
        OnPostgres(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        OnPostgres(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
        OnPostgres(f"CREATE POLICY one_tenant ON {table} USING ({column} = {entered} OR {entered} = '*')"),
    )


STEPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        "tenants, keys, calls and the ledger",
        (
            """CREATE TABLE tenants (
                id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, plan TEXT NOT NULL,
                status TEXT NOT NULL DEFAULT 'active', version BIGINT NOT NULL DEFAULT 1,
                balance BIGINT NOT NULL DEFAULT 0, held BIGINT NOT NULL DEFAULT 0,
                budget BIGINT, spent_month TEXT NOT NULL DEFAULT '', spent BIGINT NOT NULL DEFAULT 0,
                created_at BIGINT NOT NULL,
                CHECK (held >= 0), CHECK (balance >= held))""",
            """CREATE TABLE users (
                id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), email TEXT NOT NULL UNIQUE,
                full_name TEXT NOT NULL DEFAULT '', role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'agent')),
                password_hash TEXT NOT NULL, is_active BIGINT NOT NULL DEFAULT 1, created_at BIGINT NOT NULL)""",
            "CREATE UNIQUE INDEX users_one_owner ON users (tenant_id) WHERE role = 'owner'",
            """CREATE TABLE api_keys (
                id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), name TEXT NOT NULL,
                digest TEXT NOT NULL UNIQUE, hint TEXT NOT NULL, version BIGINT NOT NULL DEFAULT 1,
                permissions TEXT NOT NULL DEFAULT '*', scopes TEXT NOT NULL DEFAULT '',
                allowed_models TEXT NOT NULL DEFAULT '*', allowed_domains TEXT NOT NULL DEFAULT '*',
                rpm BIGINT, budget BIGINT, is_active BIGINT NOT NULL DEFAULT 1, expires_at BIGINT,
                tat BIGINT NOT NULL DEFAULT 0, in_flight BIGINT NOT NULL DEFAULT 0, held BIGINT NOT NULL DEFAULT 0,
                spent_month TEXT NOT NULL DEFAULT '', spent BIGINT NOT NULL DEFAULT 0,
                created_at BIGINT NOT NULL, UNIQUE (tenant_id, name))""",
            """CREATE TABLE month_calls (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), month TEXT NOT NULL, category TEXT NOT NULL,
                open BIGINT NOT NULL DEFAULT 0, ended BIGINT NOT NULL DEFAULT 0,
                PRIMARY KEY (tenant_id, month, category))""",
            """CREATE TABLE calls (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, key_id TEXT NOT NULL,
                request_id TEXT NOT NULL, endpoint TEXT NOT NULL, category TEXT NOT NULL, model TEXT NOT NULL,
                streamed BIGINT NOT NULL, month TEXT NOT NULL, opened_at BIGINT NOT NULL,
                state TEXT NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'posted', 'voided', 'expired')),
                hold BIGINT NOT NULL CHECK (hold >= 0), expires_at BIGINT NOT NULL,
                ended_at BIGINT, outcome TEXT, charge BIGINT NOT NULL DEFAULT 0 CHECK (charge >= 0),
                uncollected BIGINT NOT NULL DEFAULT 0, basis TEXT NOT NULL DEFAULT 'none', rule TEXT,
                receipt TEXT, PRIMARY KEY (tenant_id, id))""",
            "CREATE INDEX calls_open ON calls (expires_at) WHERE state = 'held'",
            """CREATE TABLE ledger_entries (
                id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id),
                kind TEXT NOT NULL CHECK (kind IN ('grant', 'purchase', 'charge', 'refund', 'adjust')),
                amount BIGINT NOT NULL, ref TEXT NOT NULL, note TEXT NOT NULL DEFAULT '',
                balance_after BIGINT NOT NULL, created_at BIGINT NOT NULL, UNIQUE (tenant_id, kind, ref))""",
        ),
    ),
    (
        "catalog",
        (
            """CREATE TABLE catalog_entries (
                kind TEXT NOT NULL, id TEXT NOT NULL, place BIGINT NOT NULL, document TEXT NOT NULL,
                PRIMARY KEY (kind, id))""",
            "CREATE TABLE catalog_version (one BIGINT PRIMARY KEY CHECK (one = 1), digest TEXT NOT NULL)",
        ),
    ),
    (
        "settings of the installation",
        ("CREATE TABLE installation (name TEXT PRIMARY KEY, value TEXT NOT NULL)",),
    ),
    (
        "a second wall between tenants",
        (
            *_one_tenant("tenants", "id"),
            *_one_tenant("users"),
            *_one_tenant("api_keys"),
            *_one_tenant("month_calls"),
            *_one_tenant("calls"),
            *_one_tenant("ledger_entries"),
        ),
    ),
    (
        "search providers of a key",
        ("ALTER TABLE api_keys ADD COLUMN allowed_search_providers TEXT NOT NULL DEFAULT '*'",),
    ),
    (
        "stored responses",
        (
            """CREATE TABLE responses (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, created_at BIGINT NOT NULL,
                expires_at BIGINT NOT NULL, previous_id TEXT, input TEXT NOT NULL, response TEXT NOT NULL,
                events TEXT NOT NULL DEFAULT '', PRIMARY KEY (tenant_id, id))""",
            "CREATE INDEX responses_expiry ON responses (expires_at)",
            *_one_tenant("responses"),
        ),
    ),
)


class NewerDatabase(Exception):
    """The database was migrated by a newer version of this program; running on would corrupt it."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"The database is at schema {found}, this version knows {len(STEPS)}. "
            "Start the newer version, or restore the backup that was made before the upgrade."
        )


class MovedDatabase(NewerDatabase):
    """Everything in the database is in another one now, and goes on there."""

    def __init__(self, where: str) -> None:
        Exception.__init__(self, f"This database has been moved to {where}; set DATABASE_URL to it.")


def schema_version(db: Transaction) -> int:
    db.do("CREATE TABLE IF NOT EXISTS schema_steps (step BIGINT PRIMARY KEY, name TEXT NOT NULL)")
    row = db.one("SELECT COALESCE(MAX(step), 0) FROM schema_steps")
    return int(row[0]) if row else 0


def moved_to(db: Transaction) -> str | None:
    """The database that this one was moved to, and the day; None for one that is in use."""
    row = db.one("SELECT name FROM schema_steps WHERE step = ?", MOVED_STEP)
    return None if row is None else str(row[0])


def migrate_job(db: Transaction) -> list[str]:
    """Bring the schema up to date inside one transaction; returns the names of the steps taken.

    Raises NewerDatabase, or MovedDatabase. Safe to run from several processes at once: the write lock makes them take
    turns.
    """
    found = schema_version(db)
    where = moved_to(db)
    if where is not None:
        raise MovedDatabase(where)
    if found > len(STEPS):
        raise NewerDatabase(found)
    taken = []
    for number, (name, statements) in enumerate(STEPS[found:], start=found + 1):
        for statement in statements:
            if db.engine == "postgresql" or not isinstance(statement, OnPostgres):
                db.do(statement)
        db.do("INSERT INTO schema_steps (step, name) VALUES (?, ?)", number, name)
        taken.append(name)
    return taken


async def migrate(database: Database) -> list[str]:
    """`migrate_job` in the writer. Raises NewerDatabase, or Problem `storage_unavailable`."""
    return await database.write(EVERY_TENANT, migrate_job, patience_s=PATIENCE_S)
