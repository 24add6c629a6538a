"""Requests for images and embeddings as each upstream wants them (wire/cloudflare.md 4, 6; wire/openrouter.md 1)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.images import parse_images
from app.providers.dialect import json_headers
from app.providers.embeddings import EmbeddingAsk, embedding_request, embeddings_in
from app.providers.images import ImageAsk, image_request
from catalog.catalog import Catalog

HEADERS = json_headers({"authorization": "Bearer k"})
CATALOG = Catalog.load()


def image_ask(model: str, **fields: Any) -> tuple[str, ImageAsk]:
    request = parse_images(msgspec.json.encode({"model": model, "prompt": "a lamp", **fields}))
    route = CATALOG.models[model].routes[0]
    return route.provider, ImageAsk(route.upstream, request, request.seed, route.options)


@pytest.mark.parametrize(
    ("model", "path", "body", "dropped"),
    [
        (
            "lucid-origin",
            "/run/@cf/leonardo/lucid-origin",
            {"prompt": "a lamp", "width": 2496, "height": 1024, "num_steps": 40, "seed": 7},
            ("negative_prompt",),
        ),
        (
            "phoenix-1.0",
            "/run/@cf/leonardo/phoenix-1.0",
            {"prompt": "a lamp", "negative_prompt": "dark", "width": 2048, "height": 1024, "num_steps": 45, "seed": 7},
            (),
        ),
        (
            "flux-2-pro",
            "/images",
            {"model": "black-forest-labs/flux.2-pro", "prompt": "a lamp", "n": 1, "size": "2600x1024", "seed": 7},
            ("negative_prompt", "steps"),
        ),
    ],
)
def test_each_model_is_asked_for_what_it_takes(
    model: str, path: str, body: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    provider, ask = image_ask(model, size="2600x1024", steps=45, negative_prompt="dark", seed=7)
    outgoing = image_request(provider, HEADERS, ask, "edge")
    assert (outgoing.path, msgspec.json.decode(outgoing.body), outgoing.dropped) == (path, body, dropped)


def test_flux_2_is_asked_with_a_form() -> None:
    provider, ask = image_ask("flux-2-klein-9b", prompt="ein Lämpchen", size="512x512")
    outgoing = image_request(provider, HEADERS, ask, "edge")
    assert dict(outgoing.headers)[b"content-type"] == b"multipart/form-data; boundary=edge"
    assert outgoing.body.decode() == (
        '--edge\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nein Lämpchen\r\n'
        '--edge\r\ncontent-disposition: form-data; name="width"\r\n\r\n512\r\n'
        '--edge\r\ncontent-disposition: form-data; name="height"\r\n\r\n512\r\n'
        "--edge--\r\n"
    )


def test_a_route_may_ask_for_images_by_chat() -> None:
    _, ask = image_ask("nano-banana-2")
    outgoing = image_request("openrouter", HEADERS, ImageAsk("x/y", ask.request, None, {"request": "chat"}), "edge")
    assert outgoing.path == "/chat/completions"
    assert msgspec.json.decode(outgoing.body) == {
        "model": "x/y",
        "messages": [{"role": "user", "content": "a lamp"}],
        "modalities": ["image", "text"],
    }


@pytest.mark.parametrize(
    ("provider", "path", "more"),
    [
        ("cloudflare", "/v1/embeddings", {}),
        ("openrouter", "/embeddings", {"encoding_format": "base64"}),
        ("local", "/embeddings", {}),
    ],
)
def test_only_openrouter_is_asked_for_an_encoding(provider: str, path: str, more: dict[str, Any]) -> None:
    outgoing = embedding_request(provider, HEADERS, EmbeddingAsk("m", ("a", "b"), "base64", 8))
    assert outgoing.path == path
    assert msgspec.json.decode(outgoing.body) == {"model": "m", "input": ["a", "b"], "dimensions": 8, **more}


def test_texts_are_split_as_the_route_says() -> None:
    ask = EmbeddingAsk("m", tuple("abcde"), "float", None, {"max_batch": 2})
    assert list(ask.batches()) == [("a", "b"), ("c", "d"), ("e",)]


def reply(*items: Any, **more: Any) -> bytes:
    return msgspec.json.encode({"object": "list", "data": list(items), **more})


def test_vectors_are_put_in_the_order_of_their_index() -> None:
    body = reply({"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}, usage={"total_tokens": 4})
    found = embeddings_in(body, EmbeddingAsk("m", ("a", "b"), "float", None))
    assert [msgspec.json.decode(vector) for vector in found.vectors] == [[1.0], [2.0]]
    assert found.prompt_tokens == 4


@pytest.mark.parametrize(
    "body",
    [
        reply(),
        reply({"index": 0, "embedding": [1.0]}),
        reply({"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}),
        reply({"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}),
        reply({"embedding": [1.0]}, {"embedding": "x"}),
        b'{"object": "list"}',
        b"<html>",
    ],
)
def test_an_answer_that_is_not_one_vector_for_each_text_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, msgspec.DecodeError)):
        embeddings_in(body, EmbeddingAsk("m", ("a", "b"), "float", None))


def test_a_provider_that_counts_nothing_leaves_the_count_to_us() -> None:
    assert embeddings_in(reply({"embedding": [1.0]}), EmbeddingAsk("m", ("a",), "float", None)).prompt_tokens is None
