"""The schema of the channels: numbers, what came in, whose it is, the turns that answer it and what goes out.

Steps are only ever added, at the end of the last of these modules. Times are microseconds since 1970 in UTC, JSON is
text. `seq` orders what came in as it arrived and what goes out as it was written, within one tenant.
"""

from __future__ import annotations

from typing import Final

from app.storage.schema_words import Steps, one_tenant

STEPS: Final[Steps] = (
    (
        "numbers of channels, their inbox and dead letters",
        (
            "ALTER TABLE api_keys ADD COLUMN kind TEXT NOT NULL DEFAULT 'key'",
            """CREATE TABLE numbers (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL UNIQUE,
                provider TEXT NOT NULL CHECK (provider IN ('meta', 'twilio')), account TEXT NOT NULL,
                business TEXT NOT NULL DEFAULT '', phone TEXT NOT NULL DEFAULT '', name TEXT NOT NULL DEFAULT '',
                bot_id TEXT, secrets TEXT NOT NULL DEFAULT '', verify_digest TEXT NOT NULL DEFAULT '',
                state TEXT NOT NULL DEFAULT 'unchecked' CHECK (state IN ('unchecked', 'connected', 'error')),
                error TEXT NOT NULL DEFAULT '', verified_at BIGINT, checked_at BIGINT,
                autoreply BIGINT NOT NULL DEFAULT 1, per_second BIGINT NOT NULL DEFAULT 80,
                pace_us BIGINT NOT NULL DEFAULT 0, tat BIGINT NOT NULL DEFAULT 0,
                paused_until BIGINT NOT NULL DEFAULT 0,
                simulated BIGINT NOT NULL DEFAULT 0, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, bot_id) REFERENCES bots (tenant_id, id))""",
            # Twilio confirms an account, not its number: whoever has one account must not shut out who has the other.
            "CREATE UNIQUE INDEX numbers_verified ON numbers (provider, account, "
            "(CASE provider WHEN 'twilio' THEN business ELSE '' END)) WHERE verified_at IS NOT NULL",
            "CREATE UNIQUE INDEX numbers_account ON numbers (tenant_id, provider, account)",
            "CREATE INDEX numbers_of_bot ON numbers (tenant_id, bot_id)",
            """CREATE TABLE inbox (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), number_id TEXT NOT NULL, event_key TEXT NOT NULL,
                seq BIGINT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, received_at BIGINT NOT NULL,
                state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'dead')),
                due_at BIGINT NOT NULL, tries BIGINT NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',
                PRIMARY KEY (tenant_id, number_id, event_key))""",
            "CREATE INDEX inbox_pending ON inbox (tenant_id, seq) WHERE state = 'pending'",
            "CREATE INDEX inbox_due ON inbox (due_at) WHERE state = 'pending'",
            "CREATE INDEX inbox_age ON inbox (received_at)",
            # Of no tenant ('') when the number that it came for is nobody's: the operator's business.
            """CREATE TABLE dead_letters (
                tenant_id TEXT NOT NULL, id TEXT NOT NULL, number_id TEXT NOT NULL DEFAULT '', provider TEXT NOT NULL,
                account TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL, body TEXT NOT NULL,
                received_at BIGINT NOT NULL, replayed_at BIGINT, PRIMARY KEY (tenant_id, id))""",
            "CREATE INDEX dead_letters_newest ON dead_letters (tenant_id, received_at, id)",
            "CREATE INDEX dead_letters_age ON dead_letters (received_at)",
            *one_tenant("numbers"),
            *one_tenant("inbox"),
            *one_tenant("dead_letters"),
        ),
    ),
    (
        "contacts, lanes and turns of conversations",
        (
            """CREATE TABLE contacts (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, number_id TEXT NOT NULL,
                user_id TEXT NOT NULL DEFAULT '', phone TEXT NOT NULL DEFAULT '', name TEXT NOT NULL DEFAULT '',
                conversation_id TEXT, window_until BIGINT NOT NULL DEFAULT 0, opted_out_at BIGINT,
                tat BIGINT NOT NULL DEFAULT 0, paused_until BIGINT NOT NULL DEFAULT 0,
                backoff BIGINT NOT NULL DEFAULT 0,
                notices TEXT NOT NULL DEFAULT '{}', created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
                PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, number_id) REFERENCES numbers (tenant_id, id))""",
            """CREATE TABLE aliases (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), number_id TEXT NOT NULL, alias TEXT NOT NULL,
                contact_id TEXT NOT NULL, PRIMARY KEY (tenant_id, number_id, alias))""",
            "ALTER TABLE conversations ADD COLUMN number_id TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE conversations ADD COLUMN contact_id TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE conversations ADD COLUMN failed_turns BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE conversations ADD COLUMN flag TEXT NOT NULL DEFAULT ''",
            "CREATE INDEX conversations_of_contact ON conversations (tenant_id, contact_id, created_at) "
            "WHERE contact_id <> ''",
            "CREATE INDEX conversations_idle ON conversations (updated_at) "
            "WHERE contact_id <> '' AND status = 'active'",
            "ALTER TABLE messages ADD COLUMN status TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE messages ADD COLUMN seq BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE messages ADD COLUMN provider_at BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE messages ADD COLUMN provider_id TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE messages ADD COLUMN author TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE messages ADD COLUMN author_id TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE messages ADD COLUMN turn_id TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE messages ADD COLUMN disposition TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE messages ADD COLUMN details TEXT NOT NULL DEFAULT '{}'",
            "CREATE INDEX messages_by_provider ON messages (tenant_id, provider_id) WHERE provider_id <> ''",
            "CREATE INDEX messages_by_seq ON messages (tenant_id, conversation_id, seq)",
            "CREATE INDEX messages_open ON messages (tenant_id, conversation_id, seq) WHERE disposition = 'open'",
            """CREATE TABLE lanes (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), conversation_id TEXT NOT NULL,
                due_at BIGINT, first_at BIGINT NOT NULL DEFAULT 0, touched BIGINT NOT NULL DEFAULT 0,
                owner TEXT NOT NULL DEFAULT '', lease_until BIGINT NOT NULL DEFAULT 0,
                PRIMARY KEY (tenant_id, conversation_id))""",
            "CREATE INDEX lanes_due ON lanes (due_at) WHERE due_at IS NOT NULL",
            """CREATE TABLE turns (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, conversation_id TEXT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('running', 'answered', 'superseded', 'dropped', 'failed')),
                attempts BIGINT NOT NULL, inputs TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
                facts TEXT NOT NULL DEFAULT '{}', created_at BIGINT NOT NULL, ended_at BIGINT,
                PRIMARY KEY (tenant_id, id))""",
            "CREATE INDEX turns_of_conversation ON turns (tenant_id, conversation_id, created_at)",
            # What a turn has paid for or done already: a turn that runs again takes it from here.
            """CREATE TABLE turn_legs (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), turn_id TEXT NOT NULL, leg TEXT NOT NULL,
                call_id TEXT NOT NULL DEFAULT '', result TEXT NOT NULL, created_at BIGINT NOT NULL,
                PRIMARY KEY (tenant_id, turn_id, leg))""",
            *one_tenant("contacts"),
            *one_tenant("aliases"),
            *one_tenant("lanes"),
            *one_tenant("turns"),
            *one_tenant("turn_legs"),
        ),
    ),
    (
        "what goes out, and media",
        (
            """CREATE TABLE sends (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL UNIQUE, seq BIGINT NOT NULL,
                number_id TEXT NOT NULL, contact_id TEXT NOT NULL, conversation_id TEXT NOT NULL,
                message_id TEXT NOT NULL, turn_id TEXT NOT NULL, part BIGINT NOT NULL, origin TEXT NOT NULL,
                kind TEXT NOT NULL, body TEXT NOT NULL,
                state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('making', 'queued', 'sending', 'unknown',
                    'accepted', 'sent', 'delivered', 'read', 'played', 'failed', 'dropped')),
                reason TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', attempts BIGINT NOT NULL DEFAULT 0,
                due_at BIGINT NOT NULL, lease_until BIGINT NOT NULL DEFAULT 0, provider_id TEXT NOT NULL DEFAULT '',
                accepted_at BIGINT, charge_id TEXT NOT NULL DEFAULT '', created_at BIGINT NOT NULL,
                updated_at BIGINT NOT NULL, PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, turn_id, part))""",
            "CREATE INDEX sends_due ON sends (number_id, due_at) WHERE state = 'queued'",
            "CREATE INDEX sends_open ON sends (lease_until) WHERE state IN ('sending', 'unknown')",
            "CREATE INDEX sends_in_order ON sends (tenant_id, conversation_id, seq)",
            "CREATE INDEX sends_by_provider ON sends (tenant_id, provider_id) WHERE provider_id <> ''",
            "CREATE INDEX sends_of_message ON sends (tenant_id, message_id)",
            """CREATE TABLE media (
                tenant_id TEXT NOT NULL REFERENCES tenants (id), id TEXT NOT NULL, message_id TEXT NOT NULL,
                media_type TEXT NOT NULL, bytes BIGINT NOT NULL, sha256 TEXT NOT NULL, name TEXT NOT NULL DEFAULT '',
                created_at BIGINT NOT NULL, PRIMARY KEY (tenant_id, id))""",
            "CREATE INDEX media_of_message ON media (tenant_id, message_id)",
            "CREATE INDEX media_age ON media (created_at)",
            *one_tenant("sends"),
            *one_tenant("media"),
        ),
    ),
    (
        "what waits in the inbox by tenant, conversations of a month, contacts by what they are known as",
        (
            "DROP INDEX inbox_pending",
            "DROP INDEX inbox_due",
            "CREATE INDEX inbox_waiting ON inbox (tenant_id, due_at, seq) WHERE state = 'pending'",
            "CREATE INDEX conversations_begun ON conversations (tenant_id, created_at, id)",
            "CREATE INDEX aliases_of_contact ON aliases (tenant_id, contact_id)",
            "CREATE INDEX numbers_by_verify_digest ON numbers (verify_digest) WHERE verify_digest <> ''",
        ),
    ),
    (
        "what goes out: whose turn it is, and what is to be paid",
        (
            # Of a number: until then nothing but templates leaves it. Of a send: when it was first tried.
            "ALTER TABLE numbers ADD COLUMN spam_until BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE sends ADD COLUMN first_at BIGINT NOT NULL DEFAULT 0",
            "CREATE INDEX sends_next ON sends (tenant_id, number_id, origin, due_at, seq) WHERE state = 'queued'",
            "CREATE INDEX sends_ahead ON sends (tenant_id, conversation_id, seq) "
            "WHERE state IN ('making', 'queued', 'sending', 'unknown', 'accepted', 'sent')",
            "CREATE INDEX sends_to_charge ON sends (updated_at, id) "
            "WHERE kind = 'template' AND charge_id = '' AND state IN ('delivered', 'read')",
        ),
    ),
    (
        "numbers that their provider refuses",
        ("CREATE INDEX numbers_in_error ON numbers (tenant_id) WHERE state = 'error'",),
    ),
    (
        "what providers refuse: messages as dead letters, templates, accounts that nobody has proved to be theirs",
        (
            # "" for what came in.
            "ALTER TABLE dead_letters ADD COLUMN message_id TEXT NOT NULL DEFAULT ''",
            # JSON of the fallback template that must not be tried from this number, "" for none.
            "ALTER TABLE numbers ADD COLUMN template_off TEXT NOT NULL DEFAULT ''",
            # The business account that the provider has said it belongs to.
            "ALTER TABLE numbers ADD COLUMN proven_business TEXT NOT NULL DEFAULT ''",
        ),
    ),
    (
        "lanes by who works on them",
        ("CREATE INDEX lanes_owned ON lanes (owner) WHERE owner <> ''",),
    ),
)
