"""The document as one HTML page, made once at start: no script, nothing from another host."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from app.api.openapi.described import Json
from app.api.openapi.page_fields import body_of, fields_of, parameters_of, type_of

FOLDER: Final = Path(__file__).parent
STYLE: Final = (FOLDER / "page.css").read_text(encoding="utf-8")
#: Nothing but this page and its own style sheet.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
CODE: Final = re.compile(r"`([^`]+)`")
METHODS: Final = ("get", "post", "put", "patch", "delete")


def render_page(document: Json) -> bytes:
    """The page. Raises jinja2.UndefinedError when the document lacks what it shows."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"prose": prose, "inline": inline, "type": type_of, "body": body_of}
    page = environment.get_template("page.html").render(
        info=document["info"],
        style=Markup(STYLE),  # noqa: S704 - our own file
        tags=[(tag, _operations(document, tag["name"])) for tag in document["tags"]],
        types=[(name, schema, fields_of(schema)) for name, schema in document["components"]["schemas"].items()],
        codes=document["x-error-codes"],
    )
    return page.encode()


def prose(text: str) -> Markup:
    """Paragraphs, with `code`."""
    return Markup("").join(Markup("<p>{}</p>").format(inline(each)) for each in text.split("\n\n"))


def inline(text: str) -> Markup:
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before


def _operations(document: Json, tag: str) -> list[Json]:
    return [
        _operation(document, method, path, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item and tag in item[method]["tags"]
    ]


def _operation(document: Json, method: str, path: str, operation: Json) -> Json:
    bodies = operation.get("requestBody", {}).get("content", {})
    replies = operation["responses"].items()
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "parameters": parameters_of(operation),
        "bodies": [
            (media, body["schema"], fields_of(_resolved(document, body["schema"]), nulls=False))
            for media, body in bodies.items()
        ],
        "answers": [(status, reply) for status, reply in replies if not _is_refusal(reply)],
        "refusals": [(status, _codes(document, reply)) for status, reply in replies if _is_refusal(reply)],
        "samples": operation["x-codeSamples"],
    }


def _is_refusal(reply: Json) -> bool:
    """Operations share these, so that they stand in the document by reference."""
    return "$ref" in reply


def _codes(document: Json, reply: Json) -> list[str]:
    return CODE.findall(_resolved(document, reply)["description"])


def _resolved(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Any = document
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    resolved: Json = found
    return resolved
