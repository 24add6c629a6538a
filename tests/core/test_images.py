"""Image requests within their bounds, and images out of every kind of answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.errors import Problem
from app.core.images import ImageRequest, fitted_size, parse_images, picture_in

B64 = "iVBORw0KGgo="


def parsed(**fields: Any) -> ImageRequest:
    return parse_images(msgspec.json.encode({"model": "lucid-origin", "prompt": "a lamp", **fields}))


def test_absent_fields_have_the_published_defaults() -> None:
    request = parsed()
    assert (request.n, request.width, request.height) == (1, 1024, 1024)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": "x" * 4001}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 5}, "n"),
        ({"n": True}, "n"),
        ({"size": "big"}, "size"),
        ({"size": "63x1024"}, "size"),
        ({"size": "1024x4097"}, "size"),
        ({"size": "1024"}, "size"),
        ({"response_format": "url"}, "response_format"),
        ({"steps": 51}, "steps"),
        ({"seed": -1}, "seed"),
    ],
)
def test_any_bad_field_is_an_invalid_request_that_names_it(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as raised:
        parsed(**fields)
    assert (raised.value.code, raised.value.param) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [((1024, 1024), (1024, 1024)), ((1001, 1030), (1000, 1024)), ((64, 4096), (256, 2048)), ((300, 2047), (296, 2040))],
)
def test_sizes_are_rounded_down_to_blocks_within_the_models_bounds(
    wanted: tuple[int, int], given: tuple[int, int]
) -> None:
    assert fitted_size(*wanted, 256, 2048) == given


@pytest.mark.parametrize(
    "body",
    [
        {"result": {"image": B64}, "success": True},
        {"image": B64},
        {"data": [{"b64_json": B64, "media_type": "image/png"}]},
        {"choices": [{"message": {"images": [{"image_url": {"url": f"data:image/png;base64,{B64}"}}]}}]},
        {
            "choices": [
                {"message": {"content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}}]}}
            ]
        },
        {"choices": [{"message": {"content": f"Here it is: ![lamp](data:image/png;base64,{B64})"}}]},
    ],
)
def test_the_image_is_found_in_every_kind_of_answer(body: dict[str, Any]) -> None:
    assert picture_in(body).b64 == B64


def test_the_prompt_that_the_model_made_is_kept() -> None:
    assert picture_in({"data": [{"b64_json": B64, "revised_prompt": "a brass lamp"}]}).revised_prompt == "a brass lamp"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"result": {"image": ""}},
        {"data": []},
        {"data": [{"url": "https://elsewhere.example/a.png"}]},
        {"image": "not base64!"},
        {"image": "abc"},
        {"choices": [{"message": {"content": "I cannot draw."}}]},
        {"choices": [{"message": {"images": [{"image_url": {"url": "https://elsewhere.example/a.png"}}]}}]},
    ],
)
def test_an_answer_without_an_image_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="image"):
        picture_in(body)
