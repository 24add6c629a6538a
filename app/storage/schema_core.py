"""The schema of the core: tenants, keys, calls, the ledger, the catalog, stored responses.

Steps are only ever added, at the end of the last of these modules. Amounts are micro-credits, times microseconds since
1970 in UTC, JSON is text.
"""

from __future__ import annotations

from typing import Final

from app.storage.schema_words import Steps, one_tenant

STEPS: Final[Steps] = (
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
            *one_tenant("tenants", "id"),
            *one_tenant("users"),
            *one_tenant("api_keys"),
            *one_tenant("month_calls"),
            *one_tenant("calls"),
            *one_tenant("ledger_entries"),
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
            *one_tenant("responses"),
        ),
    ),
)
