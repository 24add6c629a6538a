"""Calls to copy: curl and Python for every operation, made from its example body or one made from its schema."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from app.api.openapi.described import JSON, Content, Described, Json, Sample
from app.api.openapi.schemas import REF, Schemas, parameters_of

FORM: Final = "multipart/form-data"
VARIABLE: Final = re.compile(r"<(?:\w+:)?(\w+)>")
#: How deep an example made from a schema goes.
DEEPEST: Final = 4
EXAMPLES: Final[dict[str, Any]] = {"string": "…", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
OPENAI: Final = """\
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key=os.environ["API_KEY"])
"""
ANTHROPIC: Final = """\
import os

from anthropic import Anthropic

client = Anthropic(base_url=os.environ["BASE_URL"], api_key=os.environ["API_KEY"])
"""


def openai(source: str) -> tuple[Sample, ...]:
    """The call with OpenAI's SDK, whose `client` is there."""
    return (Sample("Python", "OpenAI SDK", OPENAI + source),)


def anthropic(source: str) -> tuple[Sample, ...]:
    """The call with Anthropic's SDK, whose `client` is there."""
    return (Sample("Python", "Anthropic SDK", ANTHROPIC + source),)


def samples_of(operation: Described, schemas: Schemas) -> list[Json]:
    """In the form that viewers of OpenAPI documents know as `x-codeSamples`; BASE_URL and API_KEY are the reader's."""
    body = operation.body[0] if operation.body else None
    example = None if body is None else _example(body, schemas)
    curl = Sample("Shell", "curl", _curl(operation, body, example))
    python = operation.samples or (Sample("Python", "httpx2", _python(operation, example)),)
    return [{"lang": each.lang, "label": each.label, "source": each.source} for each in (curl, *python)]


def _example(body: Content, schemas: Schemas) -> Any:
    if body.example is not None or body.type is None:
        return body.example
    return example_of(schemas.of_content(body), schemas.components)


def example_of(schema: Mapping[str, Any], components: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that fits the schema as far as types and required fields go."""
    match schema:
        case {"$ref": str(reference)}:
            made = example_of(components[reference.removeprefix(REF)], components, depth)
        case {"examples": [value, *_]} | {"enum": [value, *_]} | {"const": value}:
            made = value
        case {"anyOf": [choice, *_]} | {"oneOf": [choice, *_]} | {"allOf": [choice, *_]}:
            made = example_of(choice, components, depth)
        case {"type": "array", "minItems": int(), "items": item}:
            made = [example_of(item, components, depth + 1)]
        case {"type": "integer" | "number", "minimum": low}:
            made = low
        case {"properties": dict(fields)} if depth < DEEPEST:
            wanted = schema.get("required") or list(fields)[:1]
            made = {name: example_of(fields[name], components, depth + 1) for name in wanted}
        case _:
            made = EXAMPLES[schema.get("type", "object")]
    return made


def _curl(operation: Described, body: Content | None, example: Any) -> str:
    address = "$BASE_URL" + VARIABLE.sub(lambda match: f"${match[1].upper()}", operation.path)
    if wanted := _required(operation):
        address += "?" + "&".join(f"{name}=${name.upper()}" for name in wanted)
    lines = [f'curl "{address}"']
    if operation.method not in ("GET", "POST") or (operation.method == "POST" and body is None):
        lines.append(f"-X {operation.method}")
    lines += _credential(operation)
    if body is not None and body.media == FORM:
        lines += [f"-F {shlex.quote(f'{name}={value}')}" for name, value in example.items()]
    elif body is not None:
        lines.append(f'-H "Content-Type: {JSON}"')
        lines.append(f"-d {shlex.quote(json.dumps(example, ensure_ascii=False))}")
    if any(content.media.startswith("audio/") for content in operation.reply):
        lines.append("-o speech.mp3")
    return " \\\n  ".join(lines)


def _credential(operation: Described) -> list[str]:
    match operation.security:
        case ("session",):
            origin = [] if operation.method == "GET" else ['-H "Origin: $BASE_URL"']
            return ['-b "cm_session=$SESSION"', *origin]
        case ():
            return []
    return ['-H "Authorization: Bearer $API_KEY"']


def _python(operation: Described, example: Any) -> str:
    path = VARIABLE.sub(lambda match: f"{{os.environ['{match[1].upper()}']}}", operation.path)
    arguments = [f'os.environ["BASE_URL"] + {"f" if "{" in path else ""}"{path}"']
    if wanted := _required(operation):
        values = ", ".join(f'"{name}": os.environ["{name.upper()}"]' for name in wanted)
        arguments.append(f"params={{{values}}}")
    match operation.security:
        case ("session",):
            origin = "" if operation.method == "GET" else ', "Origin": os.environ["BASE_URL"]'
            arguments.append(f'headers={{"Cookie": "cm_session=" + os.environ["SESSION"]{origin}}}')
        case ():
            pass
        case _:
            arguments.append('headers={"Authorization": "Bearer " + os.environ["API_KEY"]}')
    if example is not None:
        arguments.append(f"json={example!r}")
    call = ",\n    ".join(arguments)
    media = [each.media for each in operation.reply]
    shown = {(): "reply.raise_for_status()", (JSON,): "print(reply.json())"}.get(tuple(media), "print(reply.text)")
    return f"import os\n\nimport httpx2\n\nreply = httpx2.{operation.method.lower()}(\n    {call},\n)\n{shown}"


def _required(operation: Described) -> list[str]:
    """The parameters of the query that must be there."""
    return [name for name, _, required in parameters_of(operation.query) if required] if operation.query else []
