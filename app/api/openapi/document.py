"""The whole OpenAPI 3.1 document out of its described operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

from app.api.openapi import headers
from app.api.openapi.described import Content, Described, Json
from app.api.openapi.errors import MEANINGS, Replies
from app.api.openapi.replies.errors import AnthropicError, Error
from app.api.openapi.samples import samples_of
from app.api.openapi.schemas import Schemas, parameters_of
from app.api.openapi.words import UNTAGGED, WORDS
from app.core.errors import CODES

VERSION: Final = "3.1.0"
TITLE: Final = "CallMissed gateway"
ABOUT: Final = """\
One OpenAI-compatible API in front of many AI providers, billed in credits (1 credit = ₹1).

Call `/v1` with a key in `Authorization: Bearer cm_...`, or point the OpenAI SDK's `base_url` at `/v1`; point the
Anthropic SDK at the host. `/api/v1` manages the organisation, with a member's session or a key that has the scope.

Every error has one envelope with a fixed `code`; nothing is charged for one. A streamed answer that cannot go on ends
with an error event instead of its usual last one. A call that is cut off by its client costs what was generated."""
SECURITY: Final[Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, `cm_...`."},
    "x-api-key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same key as the Anthropic SDK sends it; a Bearer token wins.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "cm_session",
        "description": "A logged-in member. Whatever changes something needs an `Origin` equal to the dashboard's.",
    },
}
VARIABLE: Final = re.compile(r"<(?:\w+:)?(\w+)>")


def build_document(operations: Sequence[Described], tags: Iterable[tuple[str, str]]) -> Json:
    """The document; `tags` are names and descriptions in the order in which readers get them.

    Raises TypeError for a type that has no schema, or two that would have one name.
    """
    types = [each for operation in operations for content in operation.contents for each in content.types]
    schemas, refusals = Schemas([Error, AnthropicError, *types], WORDS, UNTAGGED), Replies()
    paths: dict[str, Json] = {}
    for operation in operations:
        path = VARIABLE.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas, refusals)
    return {
        "openapi": VERSION,
        "info": {"title": TITLE, "version": "1", "description": ABOUT},
        "servers": [{"url": "/", "description": "this gateway"}],
        "tags": [{"name": name, "description": text} for name, text in tags],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": refusals.components,
            "headers": {name: headers.component(name) for name in headers.REPLY},
            "securitySchemes": SECURITY,
        },
        "x-error-codes": {
            code: {"status": CODES[code][0], "type": CODES[code][1], "description": MEANINGS[code]} for code in CODES
        },
    }


def _operation(operation: Described, schemas: Schemas, refusals: Replies) -> Json:
    described: Json = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        described["description"] = operation.description
    described["security"] = [{name: []} for name in operation.security]
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {"required": True, "content": _contents(operation.body, schemas)}
    described["responses"] = _responses(operation, schemas, refusals)
    described["x-codeSamples"] = samples_of(operation, schemas)
    return described


def _parameters(operation: Described) -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in VARIABLE.findall(operation.path)
    ]
    for name, schema, required in parameters_of(operation.query) if operation.query else ():
        text = schema.get("description")
        plain = {key: value for key, value in schema.items() if key != "description"}
        described: Json = {} if text is None else {"description": text}
        if not required:
            described["allowEmptyValue"] = True  # an empty one is none
        found.append({"name": name, "in": "query", "required": required, **described, "schema": plain})
    return found + [headers.parameter(name) for name in operation.headers]


def _responses(operation: Described, schemas: Schemas, refusals: Replies) -> Json:
    success: Json = {
        "description": HTTPStatus(operation.status).phrase,
        "headers": headers.references(operation.reply_headers),
    }
    if operation.reply:
        success["content"] = _contents(operation.reply, schemas)
    responses = {str(operation.status): success}
    for status, (text, contents) in operation.also.items():
        other = responses[str(status)] = {"description": text, "headers": headers.references(())}
        if contents:
            other["content"] = _contents(contents, schemas)
    failures = refusals.of(operation.errors, operation.form)
    return responses | {str(status): reply for status, reply in failures.items() if status not in operation.also}


def _contents(contents: Sequence[Content], schemas: Schemas) -> Json:
    found: Json = {}
    for content in contents:
        described: Json = {"schema": schemas.of_content(content)}
        if content.example is not None:
            described["example"] = content.example
        found[content.media] = described
    return found
