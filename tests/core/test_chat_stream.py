from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.accumulate import usage_object
from app.core.chat_stream import ChatWriter
from app.core.deltas import Delta, ToolDelta, Usage
from app.core.errors import Problem
from app.core.sse import DONE
from app.core.writer import StreamWriter
from tests.core.streams import (
    CALL,
    CREATED,
    GOLDEN,
    MODEL,
    call,
    chunk,
    folded,
    normaliser,
    objects,
    read,
    sdk_completion,
    take,
    tools,
    writer,
    written,
)

USAGE = Usage(prompt=12, completion=9)
LOGPROB = {"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}


def deltas_of(stream: bytes) -> list[dict[str, Any]]:
    return [item["choices"][0]["delta"] for item in objects(stream)]


def test_it_is_a_stream_writer() -> None:
    one: StreamWriter = writer()
    assert one.open().startswith(b"data: ")


def test_c1_each_choice_opens_with_its_role_and_an_empty_text_in_order() -> None:
    opened = [item["choices"] for item in objects(writer(3).open())]
    delta = {"role": "assistant", "content": ""}
    assert opened == [[{"index": n, "delta": delta, "logprobs": None, "finish_reason": None}] for n in range(3)]


def test_a_stream_is_these_bytes() -> None:
    out = writer(include_usage=True)
    tool, rest = ToolDelta(0, "", "call_1", "get_weather"), ToolDelta(0, '{"city":"Pune"}')
    deltas = [Delta(0, "Checking."), Delta(0, tools=[tool]), Delta(0, tools=[rest])]
    stream = out.open() + out.write(deltas) + out.close({0: "tool_calls"}, Usage(12, 9))
    start = (
        'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"m",'
        '"system_fingerprint":null,"choices":['
    )
    delta, end = '{"index":0,"delta":', ',"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
    assert stream.decode() == (
        f'{start}{delta}{{"role":"assistant","content":""}}{end}'
        f'{start}{delta}{{"content":"Checking."}}{end}'
        f'{start}{delta}{{"tool_calls":[{{"index":0,"id":"call_1","type":"function",'
        f'"function":{{"name":"get_weather","arguments":""}}}}]}}{end}'
        f'{start}{delta}{{"tool_calls":[{{"index":0,"function":{{"arguments":"{{\\"city\\":\\"Pune\\"}}"}}}}]}}{end}'
        f'{start}{delta}{{}},"logprobs":null,"finish_reason":"tool_calls"}}],"usage":null}}\n\n'
        f'{start}],"usage":{{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21,'
        '"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0,"cache_write_tokens":0},'
        '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,'
        '"rejected_prediction_tokens":0}}}\n\n'
        "data: [DONE]\n\n"
    )


def test_c2_the_constants_of_a_stream_are_on_every_chunk() -> None:
    upstream = normaliser()
    deltas = take(
        upstream, [chunk({"content": "a"}), chunk({"content": "b"}, id="x", model="y", system_fingerprint="z")]
    )
    seen = {tuple(item.get(key, "missing") for key in ("id", "object", "created", "model", "system_fingerprint"))
            for item in objects(written(deltas, upstream))}  # fmt: skip
    assert seen == {(CALL, "chat.completion.chunk", CREATED, MODEL, None)}


def test_c3_choices_out_of_order_end_up_in_place() -> None:
    upstream = normaliser(3)
    payloads = [chunk({"content": f"text {n}"}, index=n) for n in (2, 0, 1)]
    payloads += [chunk({}, index=n, finish=finish) for n, finish in ((1, "stop"), (2, "length"), (0, "content_filter"))]
    final = sdk_completion(written(take(upstream, payloads), upstream, 3))
    got = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in final["choices"]]
    assert got == [(0, "text 0", "content_filter"), (1, "text 1", "stop"), (2, "text 2", "length")]


def test_c4_repeated_roles_ids_types_and_names_arrive_once() -> None:
    parts = [{"role": "assistant", "foo": "x", "tool_calls": [call(0, "call_1", "f", p)]} for p in ('{"x"', ":1", "}")]
    upstream = normaliser()
    deltas = take(upstream, [chunk(part) for part in parts] + [chunk({}, finish="tool_calls")])
    message = sdk_completion(written(deltas, upstream))["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert message["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    ]
    assert "foo" not in message


@pytest.mark.parametrize("index", [None, 0])
def test_c5_calls_without_proper_indexes_arrive_as_two(index: int | None) -> None:
    entries = [
        call(index, "a", "f", '{"x":'),
        call(index, "b", "g", "{"),
        call(index, "a", None, "1}"),
        call(index, "b", None, "}"),
    ]
    upstream = normaliser()
    final = sdk_completion(written(take(upstream, [tools(entry) for entry in entries]), upstream))
    calls = final["choices"][0]["message"]["tool_calls"]
    assert [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls] == [
        ("a", "f", {"x": 1}),
        ("b", "g", {}),
    ]


@pytest.mark.parametrize("arguments", [{"x": 1}, None, ""])
def test_c6_arguments_arrive_as_json_text(arguments: Any) -> None:
    upstream = normaliser()
    deltas = take(upstream, [tools({"id": "a", "function": {"name": "f", "arguments": arguments}})])
    [tool] = sdk_completion(written(deltas, upstream))["choices"][0]["message"]["tool_calls"]
    assert json.loads(tool["function"]["arguments"]) == (arguments or {})


def test_c7_one_separate_finish_chunk_per_choice_and_stop_for_the_unmentioned() -> None:
    finishes = [
        (item["choices"][0]["index"], item["choices"][0]["delta"], item["choices"][0]["finish_reason"])
        for item in objects(writer(3).close({1: "length"}, USAGE))
    ]
    assert finishes == [(0, {}, "stop"), (1, {}, "length"), (2, {}, "stop")]


def test_c7_nothing_but_the_close_has_a_finish_reason() -> None:
    out = writer()
    before = out.open() + out.write([Delta(0, "a"), Delta(0, tools=[ToolDelta(0, "", "a", "f")])]) + out.heartbeat()
    assert {item["choices"][0]["finish_reason"] for item in objects(before)} == {None}


def test_c9_asked_for_usage_is_the_last_json_and_null_before() -> None:
    upstream = normaliser()
    *others, last = objects(written(take(upstream, [chunk({"content": "a"}), chunk({}, finish="stop")]), upstream))
    assert last["choices"] == []
    assert last["usage"] == usage_object(Usage())
    assert [item["usage"] for item in others] == [None] * len(others)


def test_c9_unasked_for_usage_is_nowhere_and_no_choices_are_empty() -> None:
    upstream = normaliser()
    deltas = take(upstream, read(GOLDEN["vllm"]))
    items = objects(written(deltas, upstream, include_usage=False))
    assert not any("usage" in item for item in items)
    assert all(len(item["choices"]) == 1 for item in items)


def test_c10_running_usage_of_the_upstream_becomes_one() -> None:
    upstream = normaliser()
    items = objects(written(take(upstream, read(GOLDEN["vllm"])), upstream))
    assert [item["usage"]["completion_tokens"] for item in items if item["usage"]] == [8]


def test_c12_an_error_ends_the_stream_without_done_finish_or_choices() -> None:
    event = writer().error(Problem("upstream_error", "The provider stopped in mid-answer."))
    assert read(event)[-1] != DONE
    assert objects(event) == [
        {
            "error": {
                "message": "The provider stopped in mid-answer.",
                "type": "server_error",
                "param": None,
                "code": "upstream_error",
            }
        }
    ]


def test_c12_no_good_chunk_has_an_error_key() -> None:
    upstream = normaliser()
    deltas = take(upstream, [chunk({"content": "a"}, error={"code": 0}), chunk({}, finish="stop", error={"code": 0})])
    assert not any("error" in item for item in objects(written(deltas, upstream)))


def test_c14_text_is_empty_in_the_first_chunk_only() -> None:
    upstream = normaliser()
    first, *rest = deltas_of(written(take(upstream, [tools(call(0, "a", "f", "{}"))]), upstream, include_usage=False))
    assert first["content"] == ""
    assert not any("content" in delta for delta in rest)


def test_c15_logprobs_go_out_when_asked_for() -> None:
    logprobs = {"content": [LOGPROB], "refusal": None}
    deltas = [Delta(0, "a", logprobs=logprobs), Delta(0, logprobs=logprobs)]
    assert [item["choices"][0]["logprobs"] for item in objects(writer(logprobs=True).write(deltas))] == [logprobs] * 2
    assert [item["choices"][0]["logprobs"] for item in objects(writer().write(deltas))] == [None]


def test_c15_as_many_logprobs_arrive_as_tokens_were_streamed() -> None:
    upstream = normaliser()
    payload = chunk({"content": "a"}, choice={"logprobs": {"content": [LOGPROB]}})
    final = sdk_completion(written(take(upstream, [payload] * 5), upstream, logprobs=True))
    assert final["choices"][0]["logprobs"]["content"] == [LOGPROB] * 5


@pytest.mark.parametrize("name", ["annotations", "reasoning_details", "audio"])
def test_c17_extras_arrive_unchanged(name: str) -> None:
    value: Any = {"id": "audio_1", "data": "AAAA"} if name == "audio" else [{"type": "x", "index": 0, "text": "t"}]
    upstream = normaliser()
    deltas = take(upstream, [chunk({"content": "a", name: value})])
    assert value in [delta.get(name) for delta in deltas_of(written(deltas, upstream, include_usage=False))]


def test_c17_what_stands_beside_the_choices_arrives_there() -> None:
    [item] = objects(
        writer(include_usage=True).write([Delta(0, "a", top={"service_tier": "flex", "obfuscation": "xx"})])
    )
    assert (item["service_tier"], item["obfuscation"], item["usage"]) == ("flex", "xx", None)


def test_c17_annotations_of_many_chunks_do_not_break_the_sdk() -> None:
    notes: list[Any] = [{"type": "url_citation", "url_citation": {"url": f"https://example.com/{n}"}} for n in range(3)]
    upstream = normaliser()
    deltas = take(upstream, [chunk({"content": "a", "annotations": [note]}) for note in notes])
    arrived = sdk_completion(written(deltas, upstream))["choices"][0]["message"]["annotations"]
    assert [note["url_citation"]["url"] for note in arrived] == [note["url_citation"]["url"] for note in notes]


def test_reasoning_is_always_reasoning_content() -> None:
    stream = writer().write([Delta(0, reasoning="why"), Delta(0, "a", reasoning="b"), Delta(0, refusal="no")])
    assert deltas_of(stream) == [
        {"reasoning_content": "why"},
        {"content": "a", "reasoning_content": "b"},
        {"refusal": "no"},
    ]


def test_s7_every_event_is_one_line_for_every_client() -> None:
    text = "a\u2028b\u2029c\u0085d\n\r\n\u000b\u001ee नमस्ते"
    out = ChatWriter("chatcmpl-1", 1, "m\u2028", 1, True, False)
    stream = out.open() + out.write([Delta(0, text), Delta(0, reasoning=text, refusal=text)]) + out.close({}, USAGE)
    lines = stream.decode().splitlines()
    assert all(line.startswith("data: ") for line in lines[::2])
    assert set(lines[1::2]) == {""}
    assert deltas_of(out.write([Delta(0, text)])) == [{"content": text}]


def test_s4_s8_s9_no_ids_no_names_and_done_once_and_last() -> None:
    upstream = normaliser()
    stream = written(take(upstream, read(GOLDEN["openrouter"])), upstream)
    assert stream.count(b"[DONE]") == 1
    assert stream.endswith(b"data: [DONE]\n\n")
    assert {line[:6] for line in stream.split(b"\n") if line} == {b"data: "}


def test_s11_a_heartbeat_is_an_empty_delta_that_changes_nothing() -> None:
    [item] = objects(writer().heartbeat())
    assert item["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_sdk_makes_of_our_stream_what_our_body_says(name: str) -> None:
    upstream = normaliser()
    deltas = take(upstream, read(GOLDEN[name]))
    for delta in deltas:
        delta.extras = None  # reasoning_details repeat `format`, which the SDK adds up; they have a test of their own
    assert sdk_completion(written(deltas, upstream)) == folded(deltas, upstream)


words = st.text(max_size=5)
gains = st.one_of(
    st.fixed_dictionaries({}, optional={"content": words, "reasoning": words, "refusal": words}),
    st.builds(
        lambda *entries: {"tool_calls": list(entries)},
        st.builds(
            call, st.just(0), st.sampled_from(["a", "b"]), st.sampled_from(["f"]), st.sampled_from(["", "1", {}])
        ),
        st.builds(call, st.just(None), st.sampled_from(["a", "c", None]), st.sampled_from(["g"]), words),
    ),
)
logprobs = st.none() | st.just({"content": [LOGPROB], "refusal": None}) | st.just({"refusal": [LOGPROB]})


finishes = st.sampled_from([None, None, "stop", "length", "refusal"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), gains, finishes, logprobs), max_size=8), st.booleans())
def test_stream_and_body_agree_whatever_the_upstream_says(rows: list[tuple[int, Any, Any, Any]], asked: bool) -> None:
    upstream = normaliser(3)
    payloads = [chunk(gain, index=n, finish=finish, choice={"logprobs": lp}) for n, gain, finish, lp in rows]
    deltas = take(upstream, payloads)
    body = folded(deltas, upstream, 3, logprobs=asked)
    assert sdk_completion(written(deltas, upstream, 3, logprobs=asked)) == body
