from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from unittest.mock import MagicMock

import msgspec
import pytest
from openapi_spec_validator import validate

from app.api.app import PLATFORM, create_app
from app.api.channel_hooks import HOOKS
from app.api.messages import PREFIXES
from app.api.openapi.described import Content, Described
from app.api.openapi.document import build_document
from app.api.openapi.errors import MEANINGS
from app.api.openapi.everything import WRITTEN
from app.api.openapi.platform import describe
from app.api.openapi.schemas import Schemas, public_name
from app.api.openapi.words import UNTAGGED, WORDS
from app.api.status import ABSENT
from app.core.errors import CODES
from app.core.responses_fields import ResponseFields
from tests.openapi.documents import VARIABLE, document, operations, texts

#: Routes that the document does not tell of, with the reason.
LEFT_OUT: Final = {
    "/metrics": "for the operator, and not there without METRICS_TOKEN",
    "/openapi.json": "the document itself",
    "/docs": "the document as a page",
    "/v1/responses/<response_id>/cancel": "always refused: no response runs in the background",
    **dict.fromkeys(HOOKS, "for Meta and Twilio, who know what they send"),
    "/v1/channels/media/<path:token>": "for Twilio, who is sent each link",
    **{f"{path}{rest}": "nothing is there yet: 501" for path in ABSENT for rest in ("", "/<path:rest>")},
    **{
        f"{twin}/{name}": f"as /v1/{name.partition('/<')[0]}, for SDKs that add /v1 themselves"
        for twin in PREFIXES[1:]
        for name in ("messages", "messages/count_tokens", "models", "models/<path:model_id>")
    },
}


def served() -> set[tuple[str, str]]:
    """Method and rule of every route; HEAD and OPTIONS come of themselves."""
    return {
        (method, rule.rule)
        for rule in create_app(MagicMock()).url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_the_document_is_valid_openapi() -> None:
    validate(document())


def test_every_route_is_in_the_document_or_left_out_by_name() -> None:
    told = {(method, path) for method, path, _ in operations()}
    routes = {(method, VARIABLE.sub(r"{\1}", rule)) for method, rule in served() if rule not in LEFT_OUT}
    assert told == routes


def test_nothing_is_left_out_that_is_not_there() -> None:
    assert LEFT_OUT.keys() <= {rule for _, rule in served()}


def test_every_code_of_an_error_has_its_meaning() -> None:
    assert MEANINGS.keys() == CODES.keys()


def test_the_codes_that_the_platform_names_exist() -> None:
    named = {code for area in PLATFORM for each in area(MagicMock()).operations for code in describe(each).errors}
    assert named <= CODES.keys()


def test_an_operation_lists_its_codes_under_their_statuses() -> None:
    chat = document()["paths"]["/v1/chat/completions"]["post"]["responses"]
    reply = document()["components"]["responses"][chat["402"]["$ref"].rpartition("/")[2]]
    codes = reply["content"]["application/json"]["schema"]["allOf"][1]["properties"]["error"]["properties"]["code"]
    assert sorted(codes["enum"]) == ["budget_exceeded", "insufficient_credits"]


def test_a_provider_that_is_away_is_overloaded_in_anthropics_form() -> None:
    replies = document()["paths"]["/v1/messages"]["post"]["responses"]
    assert replies["529"]["$ref"].endswith("anthropic.529.provider_error")


def test_every_field_of_a_request_under_v1_says_what_it_is_for() -> None:
    schemas = document()["components"]["schemas"]
    silent = [
        (operation.name, field)
        for operation in WRITTEN
        for content in operation.body
        for struct in content.types
        for field, schema in schemas[public_name(struct.__name__)]["properties"].items()
        if "description" not in schema
    ]
    assert silent == []


@pytest.mark.parametrize("struct", WORDS, ids=lambda struct: struct.__name__)
def test_words_are_about_fields_that_there_are(struct: type) -> None:
    assert WORDS[struct].keys() <= set(struct.__struct_encode_fields__)  # type: ignore[attr-defined]


def test_every_area_says_what_it_is_for() -> None:
    assert [tag["name"] for tag in document()["tags"] if not tag["description"]] == []


def test_nothing_that_readers_get_cites_our_own_documents() -> None:
    assert [text for text in texts(document()) if ".md" in text or "design" in text or "section " in text] == []


def test_every_reference_leads_somewhere() -> None:
    whole = document()

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    for reference in references(whole):
        found = whole
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_a_message_of_a_response_may_come_without_its_type() -> None:
    schemas = Schemas([ResponseFields], untagged=UNTAGGED)
    assert schemas.components["InputMessage"]["required"] == ["role", "content"]
    assert schemas.components["InputCall"]["required"] == ["type", "call_id", "name", "arguments"]
    assert (
        "discriminator"
        not in msgspec.json.encode(schemas.components["ResponseRequest"]["properties"]["input"]).decode()
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Bot", "Bot"),
        ("ChatFields", "ChatRequest"),
        ("app.core.chat_fields.JsonSchema", "ChatJsonSchema"),
        ("app.core.responses_fields.JsonSchema", "ResponsesJsonSchema"),
        ("app.core.webhooks.WebhooksPage", "WebhooksPage"),
    ],
)
def test_a_type_has_a_name_that_readers_can_bear(name: str, shown: str) -> None:
    assert public_name(name) == shown


def test_two_operations_of_one_name_are_found_out() -> None:
    twice = Described(method="GET", path="/a", tag="a", name="same", summary="Same", reply=(Content(type=int),))
    with pytest.raises(Exception, match="not unique"):
        validate(build_document([*WRITTEN, twice, replace(twice, path="/b")], [("a", "A.")]))
