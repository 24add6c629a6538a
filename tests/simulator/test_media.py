"""Images and vectors: shapes of the models, what is counted, and requests that a provider would refuse."""

from __future__ import annotations

from array import array
from base64 import b64decode

import pytest

from app.core.tokens import count_text
from scripts.simulator.media import PNG
from scripts.simulator.script import Script
from tests.simulator.asking import Json, ask_surface, body_of

RUN = "/cloudflare/client/v4/accounts/acc/ai/run/@cf"
VECTORS = {
    "cloudflare": "/cloudflare/client/v4/accounts/acc/ai/v1/embeddings",
    "openrouter": "/openrouter/api/v1/embeddings",
}


def drawn(model: str, body: Json | bytes, content_type: str = "application/json") -> Script:
    return ask_surface(f"{RUN}/{model}", body, {"content-type": content_type})[0]


def sent(script: Script) -> bytes:
    return b"".join(step.data for step in script.steps)


def form(prompt: str) -> bytes:
    return f'--x\r\ncontent-disposition: form-data; name="prompt"\r\n\r\n{prompt}\r\n--x--\r\n'.encode()


def test_an_image_is_base64_in_json_or_the_bytes_themselves() -> None:
    wrapped = body_of(drawn("leonardo/lucid-origin", {"prompt": "a lamp"}))
    bare = drawn("leonardo/phoenix-1.0", {"prompt": "a lamp"})
    assert b64decode(wrapped["result"]["image"]) == sent(bare) == PNG
    assert ("content-type", "image/png") in bare.headers


def test_a_model_that_wants_a_form_takes_nothing_else() -> None:
    multipart = "multipart/form-data; boundary=x"
    model = "black-forest-labs/flux-2-klein-9b"
    assert b64decode(body_of(drawn(model, form("a lamp"), multipart))["result"]["image"]) == PNG
    assert drawn(model, {"prompt": "a lamp"}).status == 400
    assert drawn("leonardo/lucid-origin", form("a lamp"), multipart).status == 400


@pytest.mark.parametrize("body", [b"{", {}, {"prompt": ""}])
def test_an_image_needs_a_prompt(body: Json | bytes) -> None:
    assert drawn("leonardo/lucid-origin", body).status == 400
    assert ask_surface("/openrouter/api/v1/images", body)[0].status == 400


def test_openrouter_draws_several_at_once() -> None:
    script, record = ask_surface("/openrouter/api/v1/images", {"model": "m", "prompt": "[tag=a] two", "n": 2})
    assert [b64decode(entry["b64_json"]) for entry in body_of(script)["data"]] == [PNG, PNG]
    assert (record.model, record.tag) == ("m", "a")


@pytest.mark.parametrize("provider", VECTORS)
def test_a_vector_tells_length_and_place_of_its_text(provider: str) -> None:
    script, record = ask_surface(VECTORS[provider], {"model": "@cf/baai/bge-m3", "input": ["one", "three"]})
    body = body_of(script)
    assert [(item["index"], item["embedding"][:3]) for item in body["data"]] == [(0, [3, 0, 0.5]), (1, [5, 1, 0.5])]
    assert {len(item["embedding"]) for item in body["data"]} == {1024}
    tokens = count_text("one") + count_text("three")
    assert (body["usage"]["prompt_tokens"], record.prompt_tokens) == (tokens, tokens)
    assert [step.usage for step in script.steps] == [body["usage"]]


def test_vectors_are_packed_and_shortened_on_request() -> None:
    asked = {"model": "openai/text-embedding-3-small", "input": "one", "dimensions": 4, "encoding_format": "base64"}
    (item,) = body_of(ask_surface(VECTORS["openrouter"], asked)[0])["data"]
    assert array("f", b64decode(item["embedding"])).tolist() == [3.0, 0.0, 0.5, 0.5]


def test_cloudflare_takes_a_hundred_texts_and_no_more() -> None:
    asked = {"model": "@cf/baai/bge-m3", "input": ["a"] * 101}
    assert ask_surface(VECTORS["cloudflare"], asked)[0].status == 400
    assert ask_surface(VECTORS["openrouter"], asked)[0].status == 200
    assert ask_surface(VECTORS["cloudflare"], {**asked, "input": ["a"] * 100})[0].status == 200


def test_usage_is_left_out_on_cue() -> None:
    script, record = ask_surface(VECTORS["openrouter"], {"model": "m", "input": "one [mock=no_usage]"})
    assert "usage" not in body_of(script)
    assert record.triggers == ("no_usage",)
