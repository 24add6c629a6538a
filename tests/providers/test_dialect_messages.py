"""Messages as one dialect's upstream takes them: empty content, arguments, roles, parts, links."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Problem
from app.providers.cloudflare import Cloudflare
from app.providers.dialect import Dialect
from app.providers.openai_compatible import FlavourName, NullContent, OpenAICompatible, plain_message
from app.providers.openrouter import OpenRouter
from app.providers.sarvam import Sarvam
from tests.providers.chat_requests import HELLO, PICTURE, QUESTION, ask, body_of

CALL: Final = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

LINK: Final = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


FORMS: Final[dict[str, dict[str, Any]]] = {"null": {"content": None}, "empty": {"content": ""}, "absent": {}}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("flag", ["keep", "empty", "omit"])
def test_empty_content_beside_tool_calls_goes_out_as_flagged(form: str, flag: NullContent) -> None:
    message = {"role": "assistant", "tool_calls": [CALL], **FORMS[form]}
    expected = {"keep": FORMS[form], "empty": {"content": ""}, "omit": {}}[flag]
    for dialect in (
        OpenAICompatible("fast", null_content=flag),
        Cloudflare("k", null_content=flag),
        Sarvam("k", null_content=flag),
    ):
        messages = body_of(dialect, ask([*HELLO, message, {"role": "tool", "tool_call_id": "c", "content": "1"}]))[
            "messages"
        ]
        assert messages[1] == {"role": "assistant", "tool_calls": [CALL], **expected}
        assert len(messages) == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("flag", "expected"), [("keep", None), ("empty", ""), ("omit", "")])
def test_an_assistant_message_with_nothing_in_it_is_kept(form: str, flag: NullContent, expected: str | None) -> None:
    message = plain_message({"role": "assistant", **FORMS[form]}, flag)
    assert message == {"role": "assistant", **(FORMS[form] if expected is None else {"content": expected})}


@pytest.mark.parametrize("form", FORMS)
def test_empty_content_reaches_a_frontier_model_as_it_was_sent(form: str) -> None:
    message = {"role": "assistant", "tool_calls": [CALL], **FORMS[form]}
    assert body_of(OpenRouter("k"), ask([*HELLO, message]))["messages"][1] == message


@pytest.mark.parametrize("flag", ["keep", "empty", "omit"])
@given(content=st.text(min_size=1))
def test_content_that_is_there_is_never_touched(flag: NullContent, content: str) -> None:
    message = {"role": "assistant", "content": content, "tool_calls": [CALL]}
    assert plain_message(message, flag) == message


@pytest.mark.parametrize(
    ("arguments", "text"), [({"a": [1]}, '{"a":[1]}'), ("", "{}"), (None, "{}"), ({}, "{}"), ('{"a":1}', '{"a":1}')]
)
def test_replayed_arguments_are_always_json_text(arguments: Any, text: str) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    plain = plain_message({"role": "assistant", "content": "x", "tool_calls": [call]}, "keep")
    assert plain["tool_calls"] == [{"id": "c", "function": {"name": "f", "arguments": text}}]


@pytest.mark.parametrize(
    ("dialect", "role"),
    [
        (Sarvam("k"), "system"),
        (Cloudflare("k"), "system"),
        (OpenAICompatible("local", "vllm"), "system"),
        (OpenRouter("k"), "developer"),
    ],
)
def test_the_developer_role_goes_where_it_is_known(dialect: Dialect, role: str) -> None:
    assert body_of(dialect, ask([{"role": "developer", "content": "Be brief."}]))["messages"][0]["role"] == role


def test_a_strict_upstream_gets_known_message_fields_and_one_string() -> None:
    message = {"role": "assistant", "content": [QUESTION, QUESTION], "refusal": None, "annotations": []}
    messages = body_of(Sarvam("k"), ask([message]))["messages"]
    assert messages == [{"role": "assistant", "content": "What is it?\nWhat is it?"}]


def test_a_text_only_upstream_refuses_other_parts_instead_of_losing_them() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    with pytest.raises(Problem) as caught:
        Sarvam("k").chat(ask([{"role": "user", "content": [QUESTION, audio]}]))
    assert caught.value.param == "messages"


def test_text_comes_after_the_images_where_parts_are_taken_apart() -> None:
    question = ask([{"role": "user", "content": [QUESTION, PICTURE, QUESTION]}])
    content = body_of(OpenAICompatible("local", "ollama"), question)["messages"][0]["content"]
    assert content == [PICTURE, QUESTION, QUESTION]


@pytest.mark.parametrize("flavour", ["ollama", "vllm", "llamacpp"])
def test_a_server_in_our_own_network_never_fetches_what_a_client_names(flavour: FlavourName) -> None:
    with pytest.raises(Problem) as caught:
        OpenAICompatible("local", flavour).chat(ask([{"role": "user", "content": [QUESTION, LINK]}]))
    assert (caught.value.code, caught.value.param) == ("invalid_value", "messages")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://10.0.0.1/a.png", "/etc/passwd"])
@pytest.mark.parametrize("kind", ["image_url", "video_url"])
def test_only_https_passes_even_where_links_may_pass(url: str, kind: str) -> None:
    part = {"type": kind, kind: {"url": url}}
    with pytest.raises(Problem):
        OpenAICompatible("local", "llamacpp", image_urls="pass").chat(ask([{"role": "user", "content": [part]}]))


def test_the_operator_may_let_links_pass() -> None:
    dialect = OpenAICompatible("local", "vllm", image_urls="pass")
    assert body_of(dialect, ask([{"role": "user", "content": [LINK]}]))["messages"][0]["content"] == [LINK]
