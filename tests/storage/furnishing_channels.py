"""A row of a tenant in each table of the channels, for tests that look at every table."""

from __future__ import annotations

from app.core.identity import new_uuid
from app.storage.database import Transaction
from tests.storage.making import DAY_0


def furnish_channels(db: Transaction, tenant_id: str, bot_id: str, conversation_id: str) -> None:
    number_id, contact_id, turn_id = (new_uuid(DAY_0) for _ in range(3))
    rows: dict[str, dict[str, object]] = {
        "numbers": {
            **{"id": number_id, "provider": "meta", "account": "1065", "bot_id": bot_id, "updated_at": DAY_0},
            **{"business": "102", "proven_business": "102", "template_off": '{"name":"hello"}'},
        },
        "inbox": {
            **{"number_id": number_id, "event_key": "wamid.A", "seq": 1, "kind": "message", "body": "{}"},
            **{"received_at": DAY_0, "due_at": DAY_0},
        },
        "dead_letters": {"id": new_uuid(DAY_0), "provider": "meta", "reason": "why", "body": "{", "received_at": DAY_0}
        | {"message_id": "m"},
        "contacts": {"id": contact_id, "number_id": number_id, "name": "नमस्ते 🙂", "updated_at": DAY_0},
        "aliases": {"number_id": number_id, "alias": "u:US.1", "contact_id": contact_id},
        "lanes": {"conversation_id": conversation_id},
        "turns": {
            **{"id": turn_id, "conversation_id": conversation_id, "state": "running", "attempts": 1},
            "inputs": "[]",
        },
        "turn_legs": {"turn_id": turn_id, "leg": "llm:1", "result": "{}"},
        "sends": {
            **{"id": new_uuid(DAY_0), "seq": 2, "number_id": number_id, "contact_id": contact_id},
            **{"conversation_id": conversation_id, "message_id": "m", "turn_id": turn_id, "part": 1},
            **{"origin": "reply", "kind": "text", "body": "{}", "due_at": DAY_0, "updated_at": DAY_0},
        },
        "media": {
            **{"id": new_uuid(DAY_0), "message_id": "m", "media_type": "image/png", "bytes": 3},
            "sha256": "abc",
        },
    }
    dated = {"numbers", "contacts", "turns", "turn_legs", "sends", "media"}
    for table, row in rows.items():
        values = {"tenant_id": tenant_id, **row} | ({"created_at": DAY_0} if table in dated else {})
        places = ", ".join("?" * len(values))
        db.do(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values())  # noqa: S608
