"""Every route of the gateway with what it is, a good request for each that takes one, and what a call left behind."""

from __future__ import annotations

from typing import Any, Final, Literal
from unittest.mock import MagicMock

from quart import Quart

from app.api.app import create_app
from app.api.channel_hooks import HOOKS, META
from app.api.messages import PREFIXES
from app.api.status import ABSENT, METHODS
from tests.databases import open_view
from tests.e2e.calling import Caller, elsewhere, question
from tests.house import Customer, add_customer

#: "absent": documented, without a backend here (tests/e2e/test_status.py).
#: "operator": opened by a secret of the installation's own, and not there without one (tests/observability).
#: "signed": opened by the signature of a link and by no key (tests/e2e/test_image_history.py, test_channel_media.py).
#: "provider": opened by the signature of Meta or Twilio, and not there without a secret to check it with
#: (tests/e2e/test_whatsapp_hooks.py).
Policy = Literal["absent", "public", "authenticated", "billable", "operator", "signed", "provider"]
ROUTES: Final[dict[tuple[str, str], Policy]] = {
    ("GET", "/healthz"): "public",
    ("GET", "/readyz"): "public",
    ("GET", "/metrics"): "operator",
    ("GET", "/openapi.json"): "public",
    ("GET", "/docs"): "public",
    ("GET", "/api/v1/models"): "public",
    ("GET", "/api/v1/models/<path:model_id>"): "public",
    ("GET", "/api/v1/models/access"): "public",
    **{(method, f"{path}{rest}"): "absent" for path in ABSENT for rest in ("", "/<path:rest>") for method in METHODS},
    ("GET", "/v1/models"): "authenticated",
    ("GET", "/v1/models/<path:model_id>"): "authenticated",
    ("GET", "/v1/credits"): "authenticated",
    ("GET", "/v1/generation"): "authenticated",
    ("POST", "/v1/chat/completions"): "billable",
    ("POST", "/v1/audio/transcriptions"): "billable",
    ("POST", "/v1/audio/translations"): "billable",
    ("POST", "/v1/audio/speech"): "billable",
    ("POST", "/v1/search"): "billable",
    ("POST", "/v1/images/generations"): "billable",
    ("GET", "/v1/images/history"): "authenticated",
    ("GET", "/v1/images/files/<path:token>"): "signed",
    ("GET", "/v1/channels/media/<path:token>"): "signed",
    **{("POST", hook): "provider" for hook in HOOKS},
    **{("GET", hook): "provider" for hook in HOOKS if hook.startswith(META)},
    ("POST", "/v1/embeddings"): "billable",
    ("POST", "/v1/responses"): "billable",
    ("GET", "/v1/responses/<response_id>"): "authenticated",
    ("DELETE", "/v1/responses/<response_id>"): "authenticated",
    ("GET", "/v1/responses/<response_id>/input_items"): "authenticated",
    ("POST", "/v1/responses/<response_id>/cancel"): "authenticated",
    **{("GET", f"{twin}/models"): "authenticated" for twin in ("/v1/v1", "/anthropic/v1")},
    **{("GET", f"{twin}/models/<path:model_id>"): "authenticated" for twin in ("/v1/v1", "/anthropic/v1")},
    **{("POST", f"{prefix}/messages"): "billable" for prefix in PREFIXES},
    **{("POST", f"{prefix}/messages/count_tokens"): "authenticated" for prefix in PREFIXES},
}
#: A good request for each billable route, and for others that take one. The provider's answer is [tokens=2] long.
GOOD: Final[dict[str, dict[str, Any]]] = {
    "/v1/chat/completions": question("[tokens=2]", "kimi-k2.6", max_tokens=8),
    "/v1/audio/speech": {"model": "aura-2-en", "input": "Good morning."},
    "/v1/search": {"query": "what is trio"},
    "/v1/images/generations": {"model": "lucid-origin", "prompt": "a lamp"},
    "/v1/embeddings": {"model": "bge-m3", "input": "a lamp"},
    "/v1/responses": {"model": "kimi-k2.6", "input": "[tokens=2]", "max_output_tokens": 8},
    **{f"{prefix}/messages": question("[tokens=2]", "kimi-k2.6", max_tokens=8) for prefix in PREFIXES},
    **{f"{prefix}/messages/count_tokens": question() for prefix in PREFIXES},
}
#: The same for routes that take a recording: the fields of its form.
FORMS: Final[dict[str, dict[str, str]]] = {
    "/v1/audio/transcriptions": {"model": "nova-3"},
    "/v1/audio/translations": {"model": "saaras:v3"},
}
PUBLIC, AUTHENTICATED, BILLABLE = (
    [route for route, policy in ROUTES.items() if policy == wanted]
    for wanted in ("public", "authenticated", "billable")
)


def make_app() -> Quart:
    return create_app(MagicMock())


def another(caller: Caller, name: str, **settings: Any) -> Customer:
    """One more tenant in the house."""
    return elsewhere(caller.house, lambda db: add_customer(db, name, **settings))


def spent(caller: Caller, who: Customer) -> dict[str, list[tuple[Any, ...]]]:
    """A tenant's holds and settlements."""
    with open_view(caller.house.settings.database_url) as db:
        return {
            "calls": db.all("SELECT state, outcome, endpoint FROM calls WHERE tenant_id = ?", who.tenant_id),
            "charges": db.all(
                "SELECT e.ref FROM ledger_entries e JOIN calls c ON c.id = e.ref AND c.charge = -e.amount "
                "WHERE e.kind = 'charge' AND e.tenant_id = ?",
                who.tenant_id,
            ),
        }
