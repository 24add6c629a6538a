from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

import httpx2
import pytest

from app.api.openapi.page import POLICY, inline, prose, render_page
from app.api.openapi.page_fields import body_of, fields_of, type_of
from tests.openapi.documents import document, operations
from tests.openapi.live import Live

ALONE: Final = {"meta", "link", "br"}


class Reader(HTMLParser):
    """What the page refers to and what can be referred to; fails where a tag is not closed in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.add(tag)
        self.ids += [name] if (name := told.get("id")) else []
        self.links |= {value for name in ("href", "src", "action") if (value := told.get(name))}
        if tag not in ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> Reader:
    reader = Reader()
    reader.feed(render_page(document()).decode())
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_loads_nothing_and_runs_nothing(page: Reader) -> None:
    assert {link for link in page.links if not link.startswith("#")} == {"data:,", "/openapi.json"}
    assert not page.tags & {"script", "img", "iframe", "form", "object", "embed"}


def test_every_link_within_the_page_leads_somewhere(page: Reader) -> None:
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_no_two_places_of_the_page_have_one_name(page: Reader) -> None:
    assert len(page.ids) == len(set(page.ids))


def test_every_operation_and_every_type_has_its_place(page: Reader) -> None:
    wanted = {operation["operationId"] for _, _, operation in operations()}
    wanted |= {f"type-{name}" for name in document()["components"]["schemas"]}
    assert wanted <= set(page.ids)


def test_the_policy_lets_in_the_pages_own_style_only() -> None:
    assert "default-src 'none'" in POLICY
    assert not re.search(r"unsafe|https?:|\*", POLICY)


def test_whatever_a_description_holds_is_text() -> None:
    assert inline("`<b>` & <i>") == "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"
    assert prose("one\n\ntwo") == "<p>one</p><p>two</p>"
    assert type_of({"enum": ["<b>"]}) == "<code>&lt;b&gt;</code>"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "number", "minimum": 0, "maximum": 2}, "number, 0 to 2"),
        ({"type": "string", "minLength": 1}, "string, not empty"),
        ({"type": "string", "maxLength": 256}, "string, at most 256 characters"),
        ({"type": "integer", "minimum": 1, "default": 20}, "integer, at least 1, default <code>20</code>"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Tool"}}, 'array of <a href="#type-Tool">Tool</a>'),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of number"),
        ({"type": "string", "format": "binary"}, "file"),
        ({"const": None}, "<code>null</code>"),
        ({"const": True}, "<code>true</code>"),
        ({}, "anything"),
    ],
)
def test_a_type_is_told_in_words(schema: dict[str, object], words: str) -> None:
    assert type_of(schema) == words


def test_fields_that_must_be_there_come_first() -> None:
    schema = {"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "b": {}}, "required": ["b"]}
    assert [(row.name, row.required) for row in fields_of(schema)] == [("b", True), ("a", False)]
    assert [row.type for row in fields_of(schema, nulls=False)] == ["anything", "string"]


def test_a_stream_is_told_by_its_events() -> None:
    content = document()["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"]
    told = body_of(content["text/event-stream"], "text/event-stream")
    assert re.sub("<[^>]+>", "", told) == "events of [DONE] or CompletionChunk or Error"


@pytest.mark.parametrize(("path", "kind"), [("/openapi.json", "application/json"), ("/docs", "text/html")])
def test_both_are_served_once_and_then_confirmed(live: Live, path: str, kind: str) -> None:
    with httpx2.Client(base_url=live.house.url) as http:
        first = http.get(path)
        again = http.get(path, headers={"if-none-match": first.headers["etag"]})
    assert first.status_code == 200
    assert first.headers["content-type"].startswith(kind)
    assert (again.status_code, again.content) == (304, b"")


def test_the_gateway_serves_this_document_and_names_its_page(live: Live) -> None:
    with httpx2.Client(base_url=live.house.url) as http:
        assert http.get("/openapi.json").json() == document()
        assert http.get("/docs").headers["content-security-policy"] == POLICY
        assert "/docs" in http.get("/v1/nowhere").json()["error"]["message"]
