"""Schemathesis asks every operation what the document allows and what it forbids, and holds the answers against it.

SCHEMATHESIS_EXAMPLES=100 asks more than CI has time for.
"""

from __future__ import annotations

import os
import uuid
from typing import Any, Final

import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from app.core.idempotency import HEADER
from tests.e2e.speaking import recording
from tests.openapi.documents import document
from tests.openapi.live import Live

#: The gateway runs in a thread beside it, and draws its back-off from that module: Hypothesis takes it for a strategy.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module:FutureWarning")
Case = schemathesis.Case[Any]
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
]
#: Operations that are not asked, with the reason.
LEFT_OUT: Final = {"logout": "it would end the session that asks; see tests/e2e/test_accounts.py"}
#: Operations that are given ids of nothing only, with the reason.
NOTHING: Final = {"change_role": "its owner would be one no more; see tests/e2e/test_team.py"}
EXAMPLES: Final = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
#: Each would be asked 800 times to cover every bound of every field: in the short form examples must do.
LARGE: Final = ("create_chat_completion", "create_response", "create_message", "count_message_tokens")
SHORT: Final = {"phases": {"coverage": {"enabled": False}}, "generation": {"max-examples": 25}}
CONFIG: Final = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {
            "max-examples": EXAMPLES or 5,
            "deterministic": True,
            "with-security-parameters": False,
        },
        "checks": {"not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", 501]}},
        "operations": [] if EXAMPLES else [{"include-operation-id": name, **SHORT} for name in LARGE],
    }
)
schema = schemathesis.openapi.from_dict(document(), config=CONFIG)


@schema.exclude(operation_id=list(LEFT_OUT)).parametrize()
def test_every_operation_answers_as_its_document_says(case: Case, live: Live) -> None:
    name = case.operation.definition.raw["operationId"]
    things = live.spares if case.method == "DELETE" else live.things
    if name not in NOTHING and not _is_negative(case, ParameterLocation.PATH):
        _point_at(case.path_parameters, things)
    if not _is_negative(case, ParameterLocation.QUERY):
        _point_at(case.query, things)
    if HEADER in case.headers and not _is_negative(case, ParameterLocation.HEADER):
        case.headers[HEADER] = str(uuid.uuid4())  # the same one again would be refused for that alone
    checks = CHECKS
    if case.media_type == "multipart/form-data" and not _is_negative(case, ParameterLocation.BODY):
        form: dict[str, Any] = {**_form(case), "file": recording()}
        case.body = form
        checks = [check for check in CHECKS if check is not negative_data_rejection]  # bytes look like bad data to it
    response = case.call(base_url=live.house.url, headers=_credential(case, live))
    case.validate_response(response, checks=checks)


def test_what_is_left_out_is_there() -> None:
    names = {item["operationId"] for path in document()["paths"].values() for item in path.values()}
    assert LEFT_OUT.keys() | NOTHING.keys() <= names


def _form(case: Case) -> dict[str, Any]:
    return case.body if isinstance(case.body, dict) else {}


def _is_negative(case: Case, location: ParameterLocation) -> bool:
    return case.meta is not None and case.meta.is_negative_at(location)


def _point_at(variables: dict[str, Any], things: dict[str, str]) -> None:
    """About every second id becomes that of something that is there."""
    for name, value in variables.items():
        if name in things and len(str(value)) % 2:
            variables[name] = things[name]


def _credential(case: Case, live: Live) -> dict[str, str]:
    """The member's session where that will do, so that nothing is refused for want of a scope, else the key."""
    wanted = {name for each in case.operation.definition.raw["security"] for name in each}
    if "session" in wanted:
        return live.session
    return live.house.headers if wanted else {"origin": live.house.url}
