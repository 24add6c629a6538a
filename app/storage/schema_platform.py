"""The schema of the platform: members, sessions, bots, webhooks, and whatever came after.

Steps are only ever added, at the end of the last of these modules. Amounts are micro-credits, times microseconds since
1970 in UTC, JSON is text.
"""

from __future__ import annotations

from typing import Final

from app.storage.schema_words import OnPostgres, Steps, one_tenant

STEPS: Final[Steps] = (
    (
        "members, their sessions and invitations",
        (
            "ALTER TABLE users ADD COLUMN phone_number TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE users ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0",
            "CREATE INDEX users_tenant ON users (tenant_id, created_at, id)",
            """CREATE TABLE sessions (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL,
                user_id TEXT NOT NULL REFERENCES users (id), digest TEXT NOT NULL UNIQUE,
                client TEXT NOT NULL DEFAULT '', address TEXT NOT NULL DEFAULT '',
                created_at BIGINT NOT NULL, seen_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
                PRIMARY KEY (tenant_id, id))""",
            "CREATE INDEX sessions_user ON sessions (tenant_id, user_id, created_at)",
            "CREATE INDEX sessions_expiry ON sessions (expires_at)",
            """CREATE TABLE invitations (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL,
                user_id TEXT NOT NULL REFERENCES users (id), digest TEXT NOT NULL UNIQUE,
                created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, PRIMARY KEY (tenant_id, id))""",
            "CREATE UNIQUE INDEX invitations_user ON invitations (tenant_id, user_id)",
            "CREATE TABLE throttles (bucket TEXT PRIMARY KEY, tat BIGINT NOT NULL)",
            *one_tenant("sessions"),
            *one_tenant("invitations"),
        ),
    ),
    (
        "bots and their conversations",
        (
            """CREATE TABLE bots (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, type TEXT NOT NULL,
                name TEXT NOT NULL, system_prompt TEXT NOT NULL DEFAULT '', config TEXT NOT NULL DEFAULT '{}',
                secrets TEXT NOT NULL DEFAULT '', is_active BIGINT NOT NULL DEFAULT 1,
                created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, deleted_at BIGINT,
                PRIMARY KEY (tenant_id, id))""",
            "CREATE INDEX bots_newest ON bots (tenant_id, created_at, id)",
            """CREATE TABLE conversations (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, bot_id TEXT NOT NULL,
                channel TEXT NOT NULL CHECK (channel IN ('whatsapp', 'voice', 'web')), external_id TEXT NOT NULL,
                status TEXT NOT NULL DEFAULT 'active'
                    CHECK (status IN ('active', 'completed', 'escalated', 'failed')),
                duration_seconds BIGINT, metadata TEXT NOT NULL DEFAULT '{}', autoreply BIGINT NOT NULL DEFAULT 1,
                created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, bot_id) REFERENCES bots (tenant_id, id))""",
            "CREATE INDEX conversations_newest ON conversations (tenant_id, updated_at, id)",
            "CREATE INDEX conversations_of_bot ON conversations (tenant_id, bot_id, updated_at, id)",
            """CREATE TABLE messages (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, conversation_id TEXT NOT NULL,
                role TEXT NOT NULL CHECK (role IN ('user', 'assistant')), content TEXT NOT NULL,
                message_type TEXT NOT NULL DEFAULT 'text', tokens_used BIGINT NOT NULL DEFAULT 0,
                created_at BIGINT NOT NULL, PRIMARY KEY (tenant_id, id),
                FOREIGN KEY (tenant_id, conversation_id) REFERENCES conversations (tenant_id, id))""",
            "CREATE INDEX messages_in_order ON messages (tenant_id, conversation_id, created_at, id)",
            *one_tenant("bots"),
            *one_tenant("conversations"),
            *one_tenant("messages"),
        ),
    ),
    (
        "images that were made",
        (
            """CREATE TABLE images (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, created_at BIGINT NOT NULL,
                call_id TEXT NOT NULL, key_id TEXT NOT NULL, model TEXT NOT NULL, details TEXT NOT NULL,
                media_type TEXT NOT NULL, bytes BIGINT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (tenant_id, id))""",
            "CREATE INDEX images_newest ON images (tenant_id, created_at, id)",
            "CREATE INDEX images_age ON images (created_at)",
            *one_tenant("images"),
        ),
    ),
    (
        "idempotency keys",
        (
            """CREATE TABLE idempotency_keys (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), digest TEXT NOT NULL, fingerprint TEXT NOT NULL,
                token TEXT NOT NULL, lease_until BIGINT NOT NULL, expires_at BIGINT NOT NULL, call_id TEXT,
                status BIGINT NOT NULL DEFAULT 0, reply TEXT NOT NULL DEFAULT '', PRIMARY KEY (tenant_id, digest))""",
            "CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at)",
            *one_tenant("idempotency_keys"),
        ),
    ),
    (
        "webhooks and their outbox",
        (
            """CREATE TABLE webhooks (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL UNIQUE, url TEXT NOT NULL,
                description TEXT NOT NULL DEFAULT '', events TEXT NOT NULL, is_active BIGINT NOT NULL DEFAULT 1,
                secret TEXT NOT NULL, old_secret TEXT NOT NULL DEFAULT '', old_secret_until BIGINT NOT NULL DEFAULT 0,
                created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (tenant_id, id))""",
            """CREATE TABLE deliveries (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, webhook_id TEXT NOT NULL,
                event TEXT NOT NULL, body TEXT NOT NULL, replay_of TEXT,
                state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
                attempts BIGINT NOT NULL DEFAULT 0, due_at BIGINT NOT NULL, created_at BIGINT NOT NULL,
                delivered_at BIGINT, status BIGINT, error TEXT NOT NULL DEFAULT '', PRIMARY KEY (tenant_id, id))""",
            "CREATE INDEX deliveries_due ON deliveries (webhook_id, due_at) WHERE state = 'pending'",
            "CREATE INDEX deliveries_newest ON deliveries (tenant_id, webhook_id, created_at, id)",
            "CREATE INDEX deliveries_waiting ON deliveries (created_at) WHERE state = 'pending'",
            "CREATE INDEX deliveries_age ON deliveries (created_at)",
            """CREATE TABLE delivery_attempts (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), delivery_id TEXT NOT NULL, number BIGINT NOT NULL,
                at BIGINT NOT NULL, ms BIGINT NOT NULL, status BIGINT, error TEXT NOT NULL, reply TEXT NOT NULL,
                PRIMARY KEY (tenant_id, delivery_id, number))""",
            "ALTER TABLE api_keys ADD COLUMN told_expiry BIGINT NOT NULL DEFAULT 0",
            "CREATE INDEX api_keys_expiry ON api_keys (expires_at) WHERE expires_at <> told_expiry AND is_active = 1",
            *one_tenant("webhooks"),
            *one_tenant("deliveries"),
            *one_tenant("delivery_attempts"),
        ),
    ),
    (
        "names of revoked keys are free again, switches of keys",
        (
            """CREATE TABLE api_keys_anew (
                id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants (id), name TEXT NOT NULL,
                digest TEXT NOT NULL UNIQUE, hint TEXT NOT NULL, version BIGINT NOT NULL DEFAULT 1,
                permissions TEXT NOT NULL DEFAULT '*', scopes TEXT NOT NULL DEFAULT '',
                allowed_models TEXT NOT NULL DEFAULT '*', allowed_domains TEXT NOT NULL DEFAULT '*',
                allowed_search_providers TEXT NOT NULL DEFAULT '*', rpm BIGINT, budget BIGINT,
                is_active BIGINT NOT NULL DEFAULT 1, expires_at BIGINT, told_expiry BIGINT NOT NULL DEFAULT 0,
                logs_enabled BIGINT NOT NULL DEFAULT 0, prompt_logging_enabled BIGINT NOT NULL DEFAULT 0,
                tat BIGINT NOT NULL DEFAULT 0, in_flight BIGINT NOT NULL DEFAULT 0, held BIGINT NOT NULL DEFAULT 0,
                spent_month TEXT NOT NULL DEFAULT '', spent BIGINT NOT NULL DEFAULT 0,
                told_month TEXT NOT NULL DEFAULT '', created_at BIGINT NOT NULL)""",
            "INSERT INTO api_keys_anew (id, tenant_id, name, digest, hint, version, permissions, scopes, "
            "allowed_models, allowed_domains, allowed_search_providers, rpm, budget, is_active, expires_at, "
            "told_expiry, tat, in_flight, held, spent_month, spent, created_at) "
            "SELECT id, tenant_id, name, digest, hint, version, permissions, scopes, "
            "allowed_models, allowed_domains, allowed_search_providers, rpm, budget, is_active, expires_at, "
            "told_expiry, tat, in_flight, held, spent_month, spent, created_at FROM api_keys",
            "DROP TABLE api_keys",
            "ALTER TABLE api_keys_anew RENAME TO api_keys",
            "CREATE UNIQUE INDEX api_keys_live_names ON api_keys (tenant_id, name) WHERE is_active = 1",
            "CREATE INDEX api_keys_newest ON api_keys (tenant_id, created_at, id)",
            "CREATE INDEX api_keys_expiry ON api_keys (expires_at) WHERE expires_at <> told_expiry AND is_active = 1",
            *one_tenant("api_keys"),
        ),
    ),
    (
        "types of ledger entries and their sums by day, alerts of tenants",
        (
            "ALTER TABLE tenants ADD COLUMN alerts_enabled BIGINT NOT NULL DEFAULT 1",
            "ALTER TABLE tenants ADD COLUMN low_balance BIGINT",
            "ALTER TABLE tenants ADD COLUMN told_month TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE ledger_entries ADD COLUMN type TEXT NOT NULL DEFAULT 'deduction'",
            """UPDATE ledger_entries SET type = CASE
                WHEN kind IN ('purchase', 'refund') THEN kind
                WHEN kind = 'grant' AND ref = 'signup_bonus' THEN 'signup_bonus'
                WHEN kind = 'grant' AND ref LIKE 'plan:%' THEN 'plan_grant'
                WHEN kind = 'grant' AND ref LIKE 'coupon:%' THEN 'coupon'
                ELSE 'admin' END WHERE kind <> 'charge'""",
            "CREATE INDEX ledger_newest ON ledger_entries (tenant_id, created_at, id)",
            "CREATE INDEX ledger_credits ON ledger_entries (tenant_id, type, created_at, id) WHERE type <> 'deduction'",
            """CREATE TABLE ledger_days (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), day BIGINT NOT NULL, type TEXT NOT NULL,
                entries BIGINT NOT NULL, amount BIGINT NOT NULL, PRIMARY KEY (tenant_id, day, type))""",
            "INSERT INTO ledger_days (tenant_id, day, type, entries, amount) "
            "SELECT tenant_id, created_at / 86400000000, type, COUNT(*), SUM(amount) FROM ledger_entries "
            "GROUP BY tenant_id, created_at / 86400000000, type",
            *one_tenant("ledger_days"),
        ),
    ),
    (
        "the log of calls and their sums by day",
        (
            "ALTER TABLE calls ADD COLUMN session_id TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE calls ADD COLUMN trace_id TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE calls ADD COLUMN failure TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE calls ADD COLUMN input_tokens BIGINT",
            "ALTER TABLE calls ADD COLUMN output_tokens BIGINT",
            "ALTER TABLE calls ADD COLUMN audio_ms BIGINT",
            "CREATE INDEX calls_newest ON calls (tenant_id, opened_at, id, key_id, model, category)",
            "CREATE INDEX calls_not_completed ON calls "
            "(tenant_id, opened_at, id, outcome, failure, key_id, model, category) WHERE outcome <> 'completed'",
            "CREATE INDEX calls_of_session ON calls (tenant_id, session_id, opened_at, id) WHERE session_id <> ''",
            "CREATE INDEX calls_of_trace ON calls (tenant_id, trace_id, opened_at, id) WHERE trace_id <> ''",
            """CREATE TABLE usage_days (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), day BIGINT NOT NULL, key_id TEXT NOT NULL,
                category TEXT NOT NULL, model TEXT NOT NULL, completed BIGINT NOT NULL, cancelled BIGINT NOT NULL,
                failed BIGINT NOT NULL, interrupted BIGINT NOT NULL, charge BIGINT NOT NULL,
                uncollected BIGINT NOT NULL, input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
                audio_ms BIGINT NOT NULL, latency_us BIGINT NOT NULL,
                PRIMARY KEY (tenant_id, day, key_id, category, model))""",
            # What calls used was only in their receipts so far: those sums begin here.
            """INSERT INTO usage_days SELECT tenant_id, opened_at / 86400000000, key_id, category, model,
                SUM(CASE WHEN outcome = 'completed' THEN 1 ELSE 0 END),
                SUM(CASE WHEN outcome = 'cancelled' THEN 1 ELSE 0 END),
                SUM(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END),
                SUM(CASE WHEN outcome = 'interrupted' THEN 1 ELSE 0 END), SUM(charge), SUM(uncollected), 0, 0, 0,
                SUM(CASE WHEN outcome <> 'interrupted' AND ended_at > opened_at THEN ended_at - opened_at ELSE 0 END)
                FROM calls WHERE state <> 'held'
                GROUP BY tenant_id, opened_at / 86400000000, key_id, category, model""",
            *one_tenant("usage_days"),
        ),
    ),
    (
        "calls are found by their key",
        (
            # Of indexes that seem equal, as all do while a table is new, PostgreSQL takes the youngest: by the log's,
            # each call that is looked for by its id would be found by going through all of them.
            OnPostgres("ALTER TABLE calls DROP CONSTRAINT calls_pkey"),
            OnPostgres("ALTER TABLE calls ADD PRIMARY KEY (tenant_id, id)"),
        ),
    ),
    (
        "bots know how many conversations they had, conversations are found by what they are",
        (
            "ALTER TABLE bots ADD COLUMN conversation_count BIGINT NOT NULL DEFAULT 0",
            "UPDATE bots SET conversation_count = (SELECT COUNT(*) FROM conversations c "
            "WHERE c.tenant_id = bots.tenant_id AND c.bot_id = bots.id)",
            "CREATE INDEX conversations_by_status ON conversations (tenant_id, status, updated_at, id)",
            "CREATE INDEX conversations_by_channel ON conversations (tenant_id, channel, updated_at, id)",
            OnPostgres("ALTER TABLE api_keys RENAME CONSTRAINT api_keys_anew_pkey TO api_keys_pkey"),
            OnPostgres("ALTER TABLE api_keys RENAME CONSTRAINT api_keys_anew_digest_key TO api_keys_digest_key"),
        ),
    ),
)
