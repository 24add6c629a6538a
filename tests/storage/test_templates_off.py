"""What it costs when WhatsApp refuses a template of which thousands are under way."""

from __future__ import annotations

from app.providers.whatsapp.line import TemplateContent
from app.storage import fallback_template, send_moves
from app.storage.database import Transaction
from tests.channels.sending import open_shop
from tests.storage.making import DAY_0

NAME = "hello"


def test_only_the_first_refusal_looks_for_what_waits_and_by_an_index(db: Transaction) -> None:
    shop = open_shop(db, config={"fallback_template": {"name": NAME}})
    content = TemplateContent(NAME, "en")
    for turn in ("1:template", "2:template", "a person's"):
        shop.say(db, content, origin="template", turn_id=turn)
    first, *_ = send_moves.waiting(db, shop.tenant_id, "turn_id", "1:template")
    for state in ("dropped", "queued"):
        fallback_template.switch_off(db, shop.tenant_id, first, "No", DAY_0)
        assert shop.rows(db) == [state, "dropped", "queued"]
        shop.set(db, "sends", first.id, state="queued")
    if db.engine == "sqlite":  # there a look through all that was ever sent holds up everybody
        plan = " ".join(row[3] for row in db.all(f"EXPLAIN QUERY PLAN {send_moves._QUEUED_TEMPLATES}", "", "", ""))
        assert "USING INDEX sends_next" in plan
