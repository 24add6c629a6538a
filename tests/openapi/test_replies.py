"""What the gateway really sends is what the document's types say: nothing else, nothing less, in bodies and streams."""

from __future__ import annotations

from typing import Any, Final

import httpx2
import msgspec
import pytest

from app.api.openapi.everything import WRITTEN
from app.api.openapi.replies.chat import Completion, CompletionChunk
from app.api.openapi.replies.errors import AnthropicError, Error
from app.api.openapi.replies.media import (
    EmbeddingList,
    ImageList,
    ImagePage,
    SearchReply,
    TranscriptText,
    TranscriptVerbose,
)
from app.api.openapi.replies.messages import (
    AnthropicMessage,
    AnthropicModel,
    AnthropicModelList,
    MessageEvent,
    TokenCount,
)
from app.api.openapi.replies.models import Model, ModelList, PlansAccess, PublicModelList
from app.api.openapi.replies.receipts import Alive, Balance, ReadinessReply, ReceiptReply
from app.api.openapi.replies.response_events import ResponseEvent
from app.api.openapi.replies.responses import DeletedResponse, InputItemList, Response
from tests.e2e.speaking import recording
from tests.openapi.live import MODEL, QUESTION, Live

Json = dict[str, Any]
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
FUNCTION: Final[Json] = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
CHAT_TOOLS: Final[Json] = {"tools": [{"type": "function", "function": FUNCTION}]}
RESPONSE_TOOLS: Final[Json] = {"tools": [{"type": "function", **FUNCTION}]}
MESSAGE_TOOLS: Final[Json] = {"tools": [{"name": "weather", "input_schema": FUNCTION["parameters"]}]}


def question(cues: str, **fields: Any) -> Json:
    return {"model": MODEL, "messages": [{"role": "user", "content": cues}], **fields}


def message(cues: str, **fields: Any) -> Json:
    return question(cues, max_tokens=4096, **fields)


def asked(cues: str, **fields: Any) -> Json:
    return {"model": MODEL, "input": cues, **fields}


THINKS: Final = {"type": "enabled", "budget_tokens": 1024}
BODIES: Final[dict[str, tuple[str, Json, Any]]] = {
    "chat": (CHAT, QUESTION, Completion),
    "chat choices": (CHAT, question("[tokens=3]", n=2), Completion),
    "chat tools": (CHAT, question("[tools=2]", **CHAT_TOOLS), Completion),
    "chat thoughts": (CHAT, question("[reasoning=3]", reasoning_effort="high"), Completion),
    "chat logprobs": (CHAT, question("[tokens=3]", logprobs=True, top_logprobs=2), Completion),
    "responses": (RESPONSES, asked("[tokens=3]"), Response),
    "responses tools": (RESPONSES, asked("[tools=2]", **RESPONSE_TOOLS), Response),
    "responses thoughts": (RESPONSES, asked("[reasoning=3]", reasoning={"effort": "high"}), Response),
    "responses cut": (RESPONSES, asked("[tokens=90]", max_output_tokens=3), Response),
    "messages": (MESSAGES, message("[tokens=3]"), AnthropicMessage),
    "messages tools": (MESSAGES, message("[tools=2]", **MESSAGE_TOOLS), AnthropicMessage),
    "messages thoughts": (MESSAGES, message("[reasoning=3]", thinking=THINKS), AnthropicMessage),
    "count": (f"{MESSAGES}/count_tokens", QUESTION, TokenCount),
    "embeddings": ("/v1/embeddings", {"model": "bge-m3", "input": ["a", "b"]}, EmbeddingList),
    "embeddings packed": (
        "/v1/embeddings",
        {"model": "bge-m3", "input": "a", "encoding_format": "base64"},
        EmbeddingList,
    ),
    "images": ("/v1/images/generations", {"model": "lucid-origin", "prompt": "a lamp"}, ImageList),
    "search": ("/v1/search", {"query": "a lamp"}, SearchReply),
    "search pages": ("/v1/search", {"query": "a lamp", "provider": "exa", "include_content": True}, SearchReply),
    "refused": (CHAT, {}, Error),
    "refused messages": (MESSAGES, {}, AnthropicError),
}
STREAMS: Final[dict[str, tuple[str, Json, Any]]] = {
    name: (path, body, {CHAT: CompletionChunk, RESPONSES: ResponseEvent, MESSAGES: MessageEvent}[path])
    for name, (path, body, _) in BODIES.items()
    if path in (CHAT, RESPONSES, MESSAGES) and not name.startswith("refused")
} | {
    "chat usage": (CHAT, question("[tokens=3]", stream_options={"include_usage": True}), CompletionChunk),
}
READ: Final[dict[str, tuple[str, Any]]] = {
    "models": ("/v1/models", ModelList),
    "model": (f"/v1/models/{MODEL}", Model),
    "public models": ("/api/v1/models", PublicModelList),
    "public model": (f"/api/v1/models/{MODEL}", Model),
    "access": ("/api/v1/models/access", PlansAccess),
    "credits": ("/v1/credits", Balance),
    "receipt": ("/v1/generation?id={id}", ReceiptReply),
    "response": (f"{RESPONSES}/{{response_id}}", Response),
    "input items": (f"{RESPONSES}/{{response_id}}/input_items", InputItemList),
    "history": ("/v1/images/history", ImagePage),
    "alive": ("/healthz", Alive),
    "ready": ("/readyz", ReadinessReply),
}


@pytest.fixture
def http(live: Live) -> Any:
    with httpx2.Client(base_url=live.house.url, headers=live.house.headers, timeout=10) as http:
        yield http


def assert_true(body: Any, kind: Any) -> None:
    """Read as its type and written again, a body is what it was, but for optional fields that come out as null."""
    assert same(msgspec.to_builtins(msgspec.convert(body, kind)), body) == body


def same(told: Any, body: Any) -> Any:
    """`told` without nulls that `body` does not have."""
    if isinstance(told, dict) and isinstance(body, dict):
        kept = {name: value for name, value in told.items() if value is not None or name in body}
        return {name: same(value, body.get(name)) for name, value in kept.items()}
    if isinstance(told, list) and isinstance(body, list) and len(told) == len(body):
        return [same(*pair) for pair in zip(told, body, strict=True)]
    return told


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_what_its_type_says(http: httpx2.Client, name: str) -> None:
    path, body, kind = BODIES[name]
    assert_true(http.post(path, json=body).json(), kind)


@pytest.mark.parametrize("name", STREAMS)
def test_every_event_of_a_stream_is_what_its_type_says(http: httpx2.Client, name: str) -> None:
    path, body, kind = STREAMS[name]
    reply = http.post(path, json={**body, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream"), reply.text
    lines = [line.removeprefix("data: ") for line in reply.text.split("\n") if line.startswith("data: ")]
    events = [msgspec.json.decode(line) for line in lines if line != "[DONE]"]
    assert len(events) > 2
    for event in events:
        assert_true(event, kind)


@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_what_its_type_says(http: httpx2.Client, live: Live, name: str) -> None:
    path, kind = READ[name]
    assert_true(http.get(path.format(**live.spares)).json(), kind)


def test_anthropics_lists_are_what_their_types_say(http: httpx2.Client) -> None:
    version = {"anthropic-version": "2023-06-01"}
    assert_true(http.get("/v1/models", headers=version).json(), AnthropicModelList)
    assert_true(http.get(f"/v1/models/{MODEL}", headers=version).json(), AnthropicModel)


@pytest.mark.parametrize(("form", "kind"), [("json", TranscriptText), ("verbose_json", TranscriptVerbose)])
def test_a_transcript_is_what_its_type_says(http: httpx2.Client, form: str, kind: Any) -> None:
    sent = {"model": "whisper-large-v3-turbo", "response_format": form}
    reply = http.post("/v1/audio/transcriptions", data=sent, files={"file": ("a.wav", recording(), "audio/wav")})
    assert_true(reply.json(), kind)


def test_a_deleted_response_is_what_its_type_says(http: httpx2.Client) -> None:
    made = http.post(RESPONSES, json=asked("[tokens=3]")).json()["id"]
    assert_true(http.delete(f"{RESPONSES}/{made}").json(), DeletedResponse)


def test_every_reply_that_the_document_tells_of_is_asked_for_here() -> None:
    told = {kind for operation in WRITTEN for content in operation.reply for kind in content.types}
    given = {kind for _, _, kind in (*BODIES.values(), *STREAMS.values())} | {kind for _, kind in READ.values()}
    elsewhere = {AnthropicModel, AnthropicModelList, TranscriptText, TranscriptVerbose, DeletedResponse}
    assert told <= given | elsewhere
