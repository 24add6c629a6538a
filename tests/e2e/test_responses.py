"""The official OpenAI SDK at `/v1/responses`: bodies, streams, tools over two turns, schemas, stored conversations."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest
import trio
from openai import APIStatusError, AsyncOpenAI, BaseModel, OpenAI
from openai.types.responses import Response

from tests.core.responses_order import as_sent
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, Json
from tests.e2e.test_openai_sdk import with_sdk

pytestmark = ON_BOTH

MODEL: Final = "openai/gpt-5.4-mini"
WEATHER: Final[Any] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def plain(response: Any) -> Json:
    """What does not differ from call to call."""
    body = as_sent(response)
    own = body["id"].removeprefix("resp_")
    text = json.dumps({key: value for key, value in body.items() if not key.endswith("_at")})
    return dict(json.loads(text.replace(own, "ID")))


async def test_a_string_is_answered_and_its_receipt_is_under_its_own_id(caller: Caller) -> None:
    reply = await with_sdk(caller, lambda client: client.responses.create(model=MODEL, input="[tokens=5] hi"))
    assert reply.output_text == "The market opens before the"
    assert (reply.status, reply.object, reply.error, reply.incomplete_details) == ("completed", "response", None, None)
    assert reply.usage is not None
    receipt = await caller.receipt(reply.id)
    assert (receipt["endpoint"], receipt["settlement_basis"]) == ("/v1/responses", "provider_usage")
    assert (receipt["tokens_prompt"], receipt["tokens_completion"]) == (
        reply.usage.input_tokens,
        reply.usage.output_tokens,
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"input": "[tokens=9]"},
        {"input": "[ids=same] [tools=2]", "tools": [WEATHER]},
        {"input": "[tokens=5] [reasoning=6]", "reasoning": {"effort": "high"}},
        {"input": "[tokens=5]", "top_logprobs": 2, "include": ["message.output_text.logprobs"]},
    ],
    ids=["text", "tools", "reasoning", "logprobs"],
)
async def test_the_stream_ends_with_what_the_unstreamed_call_returns(caller: Caller, asked: dict[str, Any]) -> None:
    def ask(client: OpenAI) -> tuple[Response, Response]:
        whole = client.responses.create(model=MODEL, **asked)
        with client.responses.stream(model=MODEL, **asked) as stream:
            return whole, stream.get_final_response()

    whole, final = await with_sdk(caller, ask)
    assert plain(final) == plain(whole)
    assert final.usage == whole.usage


async def test_a_tool_is_called_and_its_output_answered(caller: Caller) -> None:
    long = "x" * 90

    def ask(client: OpenAI) -> tuple[Response, Response]:
        items: list[Any] = [{"role": "user", "content": f"[tag=first] [ids={long}] [tools=2]"}]
        first = client.responses.create(model=MODEL, input=items, tools=[WEATHER])
        items += first.output
        items += [
            {"type": "function_call_output", "call_id": each.call_id, "output": "31 °C"}
            for each in first.output
            if each.type == "function_call"
        ]
        items.append({"role": "user", "content": "[tag=second] [tokens=4]"})
        return first, client.responses.create(model=MODEL, input=items, tools=[WEATHER])

    first, second = await with_sdk(caller, ask)
    calls = [item for item in first.output if item.type == "function_call"]
    assert len(calls) == 2
    assert all(len(call.call_id) > 64 and json.loads(call.arguments) == {"city": "Pune"} for call in calls)
    assert second.output_text == "The market opens before"
    (sent,) = caller.upstream("second")
    asked, *answered = sent.body["messages"][1:-1]
    ids = [call["id"] for call in asked["tool_calls"]]
    assert ids == [message["tool_call_id"] for message in answered]
    assert len(set(ids)) == 2
    assert max(map(len, ids)) <= 64


class Trip(BaseModel):
    city: str
    days: int


async def test_a_schema_shapes_the_answer_and_the_sdk_reads_it(caller: Caller) -> None:
    def ask(client: OpenAI) -> tuple[Trip | None, Trip | None]:
        whole = client.responses.parse(model=MODEL, input="Plan a trip", text_format=Trip)
        with client.responses.stream(model=MODEL, input="Plan a trip", text_format=Trip) as stream:
            return whole.output_parsed, stream.get_final_response().output_parsed

    assert await with_sdk(caller, ask) == (Trip(city="Pune", days=3),) * 2
    form = caller.upstream()[-1].body["response_format"]
    assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == ("json_schema", "Trip", True)


async def test_a_conversation_goes_on_from_a_stored_response(caller: Caller) -> None:
    def talk(client: OpenAI) -> list[Response]:
        said: list[Response] = []
        for text in ("[tokens=3] one", "[tokens=4] two", "[tag=third] [tokens=5] three"):
            before = said[-1].id if said else None
            said.append(
                client.responses.create(
                    model=MODEL, input=text, instructions=f"Be {len(said)}", previous_response_id=before
                )
            )
        return said

    said = await with_sdk(caller, talk)
    (record,) = caller.upstream("third")
    assert record.body["messages"] == [
        {"role": "system", "content": "Be 2"},
        {"role": "user", "content": [{"type": "text", "text": "[tokens=3] one"}]},
        {"role": "assistant", "content": said[0].output_text},
        {"role": "user", "content": [{"type": "text", "text": "[tokens=4] two"}]},
        {"role": "assistant", "content": said[1].output_text},
        {"role": "user", "content": "[tag=third] [tokens=5] three"},
    ]
    assert said[2].previous_response_id == said[1].id


async def test_a_call_of_a_stored_response_is_answered_by_its_output_alone(caller: Caller) -> None:
    def ask(client: OpenAI) -> Response:
        first = client.responses.create(model=MODEL, input="[tool]", tools=[WEATHER], store=True)
        (call,) = first.output
        assert call.type == "function_call"
        output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "31 °C"}]
        return client.responses.create(
            model=MODEL, input=output, tools=[WEATHER], previous_response_id=first.id, stream=False
        )

    assert (await with_sdk(caller, ask)).status == "completed"
    roles = [message["role"] for message in caller.upstream()[-1].body["messages"]]
    assert roles == ["user", "assistant", "tool"]


async def test_the_async_sdk_reads_a_stream_event_by_event(caller: Caller) -> None:
    seen: list[str] = []

    async def read() -> str:
        async with AsyncOpenAI(api_key=caller.house.customer.key, base_url=f"{caller.house.url}/v1") as client:
            text = ""
            async for event in await client.responses.create(model="kimi-k2.6", input="[tokens=6]", stream=True):
                seen.append(event.type)
                text += event.delta if event.type == "response.output_text.delta" else ""
            return text

    assert await trio.to_thread.run_sync(asyncio.run, read()) == "The market opens before the sun"
    assert (seen[:2], seen[-1]) == (["response.created", "response.in_progress"], "response.completed")


async def test_an_image_reaches_a_model_that_sees_and_is_refused_by_one_that_does_not(caller: Caller) -> None:
    image: Any = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "[tokens=3] What is it?"},
                {"type": "input_image", "image_url": "https://example.com/cat.png", "detail": "low"},
            ],
        }
    ]

    def ask(client: OpenAI) -> APIStatusError:
        client.responses.create(model=MODEL, input=image)
        with pytest.raises(APIStatusError) as caught:
            client.responses.create(model="sarvam-30b", input=image)
        return caught.value

    error = await with_sdk(caller, ask)
    assert (error.status_code, error.code, error.param) == (400, "unsupported_image_input", "input")
    (record,) = caller.upstream()
    assert record.body["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "https://example.com/cat.png", "detail": "low"},
    }
    assert caller.books().calls == 1


async def test_the_frontier_parameters_reach_the_provider(caller: Caller) -> None:
    await with_sdk(
        caller,
        lambda client: client.responses.create(
            model=MODEL,
            input="[tag=all] [tokens=3]",
            temperature=0.5,
            top_p=0.9,
            max_output_tokens=99,
            parallel_tool_calls=False,
            tools=[WEATHER],
            tool_choice={"type": "function", "name": "get_weather"},
            extra_body={"provider": {"sort": "price"}, "frequency_penalty": 0.3},
        ),
    )
    (record,) = caller.upstream("all")
    body = record.body
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["frequency_penalty"]) == (0.5, 0.9, 99, 0.3)
    assert (body["parallel_tool_calls"], body["provider"]) == (False, {"sort": "price"})
    assert body["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    assert body["tools"][0]["function"]["parameters"] == WEATHER["parameters"]


@pytest.mark.parametrize("kept", [True, False], ids=["stored", "replayed"])
async def test_signed_thoughts_go_back_to_the_model_that_thought_them(caller: Caller, kept: bool) -> None:
    def talk(client: OpenAI) -> Response:
        thinks: Any = {"reasoning": {"effort": "high"}, "model": "anthropic/claude-sonnet-4.6", "store": kept}
        first: Response = client.responses.create(input="[mock=signed_thinking] [reasoning=4] [tokens=3]", **thinks)
        if kept:
            client.responses.create(input="[tag=on] [tokens=3]", previous_response_id=first.id, **thinks)
        else:
            again: list[Any] = [*first.output, {"role": "user", "content": "[tag=on] [tokens=3]"}]
            client.responses.create(input=again, **thinks)
        return first

    first = await with_sdk(caller, talk)
    assert [item.type for item in first.output] == ["reasoning", "message"]
    (record,) = caller.upstream("on")
    thought = next(message for message in record.body["messages"] if message["role"] == "assistant")
    assert thought["content"] == first.output_text
    assert any(detail.get("signature") for detail in thought["reasoning_details"])
