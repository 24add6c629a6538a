"""The calls of `/v1` that are answered with text, vectors, pictures or findings."""

from __future__ import annotations

from typing import Final

from app.api.openapi import headers
from app.api.openapi.described import EVENTS, Content, Described, Json
from app.api.openapi.errors import BODY, IDEMPOTENCY, KEY, LIMITS, MODEL, PROVIDER
from app.api.openapi.replies.chat import Completion, CompletionChunk
from app.api.openapi.replies.errors import Error
from app.api.openapi.replies.media import EmbeddingList, ImageList, SearchReply
from app.api.openapi.replies.response_events import ResponseEvent
from app.api.openapi.replies.responses import Response
from app.api.openapi.samples import openai
from app.core.chat_fields import ChatFields
from app.core.embeddings import EmbeddingFields
from app.core.images import ImageFields
from app.core.responses_fields import ResponseFields
from app.core.search import SearchFields
from app.core.sse import DONE

#: What every call that costs something may be refused with, or fail by.
BILLABLE: Final = (*BODY, *KEY, *LIMITS, *IDEMPOTENCY, "upstream_error", "provider_error")
CHAT: Final = (
    *(*BILLABLE, *MODEL, *PROVIDER, "unsupported_parameter", "unsupported_image_input"),
    "voice_agent_only_model",
)
QUESTION: Final[Json] = {
    "model": "kimi-k2.6",
    "messages": [{"role": "user", "content": "Explain quicksort in one paragraph."}],
}


def stream_of(*events: object, last: str = "") -> Content:
    """A body of server-sent events, each with JSON of one of these types."""
    return Content(EVENTS, events=events, last=last)


OPERATIONS: Final = (
    Described(
        method="POST",
        path="/v1/chat/completions",
        tag="chat",
        name="create_chat_completion",
        summary="Create a chat completion",
        description=(
            "Answers as one JSON body, or with `stream` true as server-sent events: chunks, then `data: [DONE]`. Any "
            "model of the catalog, by id, alias or slash id; without `model` the default one. Unknown fields are "
            "ignored and named in the receipt; a tuning field that the provider lacks is left out and named in "
            "`X-CM-Dropped-Params`. Needs the permission `llm`."
        ),
        security=("bearer",),
        headers=headers.ASKED,
        body=(Content(type=ChatFields, example=QUESTION),),
        reply=(Content(type=Completion), stream_of(CompletionChunk, Error, last=DONE.decode())),
        reply_headers=headers.CALL,
        errors=CHAT,
        samples=openai(
            """
stream = client.chat.completions.create(
    model="kimi-k2.6",
    messages=[{"role": "user", "content": "Explain quicksort in one paragraph."}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)"""
        ),
    ),
    Described(
        method="POST",
        path="/v1/responses",
        tag="responses",
        name="create_response",
        summary="Create a response",
        description=(
            "OpenAI's Responses API over the same models. Kept for 30 days unless `store` is false, so that "
            "`previous_response_id` can go on from it. With `stream` true the answer is events, numbered from 0. Needs "
            "the permission `llm`."
        ),
        security=("bearer",),
        headers=headers.ASKED,
        body=(
            Content(
                type=ResponseFields, example={"model": "kimi-k2.6", "input": "Explain quicksort in one paragraph."}
            ),
        ),
        reply=(Content(type=Response), stream_of(ResponseEvent)),
        reply_headers=headers.CALL,
        errors=(*CHAT, "unsupported_tool_type", "not_found"),
        samples=openai(
            """
response = client.responses.create(model="kimi-k2.6", input="Explain quicksort in one paragraph.")
print(response.output_text)"""
        ),
    ),
    Described(
        method="POST",
        path="/v1/embeddings",
        tag="embeddings",
        name="create_embeddings",
        summary="Create embeddings",
        description=(
            "One vector per text: 1 to 128 texts of at most 100,000 characters. Tokens as input are not taken. Needs "
            "the permission `llm`."
        ),
        security=("bearer",),
        headers=headers.ASKED,
        body=(Content(type=EmbeddingFields, example={"model": "bge-m3", "input": "a lamp"}),),
        reply=(Content(type=EmbeddingList),),
        reply_headers=headers.CALL,
        errors=(*BILLABLE, *MODEL, *PROVIDER, "unsupported_parameter"),
        samples=openai(
            """
embeddings = client.embeddings.create(model="bge-m3", input=["a lamp", "a chair"])
print(len(embeddings.data[0].embedding))"""
        ),
    ),
    Described(
        method="POST",
        path="/v1/images/generations",
        tag="images",
        name="create_images",
        summary="Generate images",
        description=(
            "One to four images as base64, billed by each that is delivered. `size` is WIDTHxHEIGHT, each side 64 to "
            "4096; a model may round it. Field errors are all `invalid_request_error`. Needs the permission `image`."
        ),
        security=("bearer",),
        headers=headers.ASKED,
        body=(Content(type=ImageFields, example={"model": "lucid-origin", "prompt": "a lamp", "size": "512x512"}),),
        reply=(Content(type=ImageList),),
        reply_headers=headers.CALL,
        errors=(*BILLABLE, *MODEL, *PROVIDER, "unsupported_parameter"),
        samples=openai(
            """
images = client.images.generate(model="lucid-origin", prompt="a lamp", size="512x512")
print(images.data[0].b64_json[:40])"""
        ),
    ),
    Described(
        method="POST",
        path="/v1/search",
        tag="search",
        name="search_web",
        summary="Search the web",
        description=(
            "Serper, Exa, Tavily, Brave or SearXNG in one form; `provider` wins over `mode`, the others are tried when "
            "it fails, and the reply names the one that answered. One credit, nothing for a failure. Field errors are "
            "all `invalid_request_error`. Needs the permission `search`."
        ),
        security=("bearer",),
        headers=headers.ASKED,
        body=(Content(type=SearchFields, example={"query": "structured concurrency", "num_results": 5}),),
        reply=(Content(type=SearchReply),),
        reply_headers=(*headers.CALL, "X-Credits-Balance"),
        errors=(*BILLABLE, "search_provider_not_allowed", "content_policy_violation"),
        samples=openai(
            """
found = client.post("/search", body={"query": "structured concurrency", "num_results": 5}, cast_to=object)
for row in found["results"]:
    print(row["title"], row["url"])"""
        ),
    ),
)
