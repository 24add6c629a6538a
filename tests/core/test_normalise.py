from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.accumulate import Accumulator
from app.core.deltas import Delta, Usage
from app.core.normalise import Malformed, Normaliser, StreamFault
from tests.core.streams import GOLDEN, call, chunk, joined, normaliser, read, sse, take, tools

ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk({}, finish="stop")
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_any_split_of_a_stream_gives_the_same_deltas(name: str, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 700))
    assert take(normaliser(), read(GOLDEN[name], size)) == take(normaliser(), read(GOLDEN[name]))


def test_openrouter_stream() -> None:
    upstream = normaliser()
    deltas = take(upstream, read(GOLDEN["openrouter"]))
    assert [delta.reasoning for delta in deltas] == ["User ", "asks.", None, None]
    assert [delta.content for delta in deltas] == [None, None, "2 + 2", " = 4"]
    assert [bool(delta.extras) for delta in deltas] == [True, True, False, False]
    assert upstream.finishes == {0: "stop"}
    assert upstream.usage == Usage(prompt=10, completion=8, cached=4, cache_written=2, reasoning=3)
    assert upstream.cost == 0.00014
    assert (upstream.upstream_id, upstream.upstream_model) == ("gen-1", "moonshotai/kimi-k2.5")
    assert upstream.upstream_provider == "DeepInfra"
    assert upstream.finished
    assert upstream.usage_final


def test_cloudflare_stream() -> None:
    upstream = normaliser()
    deltas = take(upstream, read(GOLDEN["cloudflare"]))
    assert deltas == [Delta(0, reasoning="Hm."), Delta(0, "नमस्ते"), Delta(0, " 🙏")]
    assert upstream.usage == Usage(prompt=7, completion=5)
    assert upstream.cost is None


def test_sarvam_stream_with_nulls_and_usage_on_its_last_chunk() -> None:
    upstream = normaliser()
    deltas = take(upstream, read(GOLDEN["sarvam"]))
    assert deltas == [Delta(0, reasoning="सोच"), Delta(0, "हाँ")]
    assert upstream.finishes == {0: "length"}
    assert upstream.usage == Usage(prompt=9, completion=6)
    assert upstream.usage_final


def test_ollama_stream_with_whole_calls_that_share_an_index() -> None:
    upstream = normaliser()
    deltas = take(upstream, read(GOLDEN["ollama"]))
    assert deltas[0] == Delta(0, reasoning="Call both.")
    assert joined(deltas) == [(0, "call_a", "get_weather", '{"city":"Pune"}'), (1, "call_b", "get_time", "{}")]
    assert upstream.finishes == {0: "tool_calls"}


def test_vllm_stream_with_running_usage() -> None:
    upstream = normaliser()
    deltas = take(upstream, read(GOLDEN["vllm"]))
    assert joined(deltas) == [(0, "chatcmpl-tool-1", "now", '{"tz":1}')]
    assert upstream.usage == Usage(prompt=5, completion=8, cached=4)


@pytest.mark.parametrize("delta", [None, {}, {"role": "assistant"}, {"content": ""}, {"content": None, "foo": "x"}])
def test_empty_deltas_and_roles_are_dropped(delta: Any) -> None:
    upstream = normaliser()
    assert take(upstream, [chunk(delta), chunk(delta), b'{"choices":[]}', b'{"choices":null}']) == []
    assert not upstream.has_content


def test_a_chunk_without_delta_or_choices_is_fine() -> None:
    assert take(normaliser(), [b'{"choices":[{"index":0}]}', b'{"choices":[{}]}', b"{}"]) == []


def test_text_on_the_finish_chunk_is_kept() -> None:
    upstream = normaliser()
    assert take(upstream, [ROLE, chunk({"content": "a"}, finish="length")]) == [Delta(0, "a")]
    assert upstream.finishes == {0: "length"}


@pytest.mark.parametrize("keys", [["reasoning"], ["reasoning_content"], ["reasoning", "reasoning_content"]])
def test_reasoning_comes_once_under_either_name(keys: list[str]) -> None:
    deltas = take(normaliser(), [ROLE, chunk({"content": ""} | dict.fromkeys(keys, "why"))])
    assert deltas == [Delta(0, reasoning="why")]


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "end_turn", "whatever"])
def test_c7_a_stop_with_calls_is_tool_calls_and_never_without(finish: str) -> None:
    with_calls, without = normaliser(), normaliser()
    take(with_calls, [tools(call(0, "a", "f", "{}")), chunk({}, finish=finish)])
    take(without, [chunk({"content": "x"}), chunk({}, finish=finish)])
    assert with_calls.finishes == {0: "tool_calls"}
    assert without.finishes == {0: "stop"}


def test_c7_a_call_after_the_finish_still_counts() -> None:
    upstream = normaliser()
    take(upstream, [chunk({}, finish="stop"), tools(call(0, "a", "f", "{}"))])
    assert upstream.finishes == {0: "tool_calls"}


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_c7_an_answer_cut_short_says_so_with_calls_too(finish: str) -> None:
    upstream = normaliser()
    take(upstream, [tools(call(0, "a", "f", "{")), chunk({}, finish=finish)])
    assert upstream.finishes == {0: finish}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("eos_token", "stop"),
    ],
)
def test_c8_finish_words_of_other_formats_are_mapped(theirs: str, ours: str, whole: bool) -> None:
    upstream = normaliser()
    gained = {"tool_calls": [call(0, "a", "f", "{}")]} if theirs == "tool_use" else {"content": "x"}
    if whole:
        deltas = upstream.from_message(chunk(choice={"message": gained}, finish=theirs))
    else:
        deltas = take(upstream, [chunk(gained), chunk({}, finish=theirs)])
    assert upstream.finishes == {0: ours}
    assert any(delta.refusal for delta in deltas) == (theirs == "refusal")


def test_c8_the_upstream_s_own_refusal_is_not_added_to() -> None:
    deltas = take(normaliser(), [chunk({"refusal": "No."}), chunk({}, finish="refusal")])
    assert deltas == [Delta(0, refusal="No.")]


def test_an_empty_finish_is_no_finish() -> None:
    upstream = normaliser()
    take(upstream, [chunk({"content": "a"}, finish="")])
    assert not upstream.finished


def test_c12_finished_needs_the_finish_of_every_choice_that_appeared() -> None:
    upstream = normaliser(3)
    assert not upstream.finished
    upstream.feed(chunk({"content": "a"}, index=2))
    upstream.feed(chunk({"content": "b"}, index=0))
    upstream.feed(chunk({}, index=2, finish="stop"))
    assert not upstream.finished
    upstream.feed(chunk({}, index=0, finish="length"))
    assert upstream.finished
    assert upstream.finishes == {0: "length", 2: "stop"}


def test_choices_beyond_those_asked_for_are_ignored() -> None:
    upstream = normaliser(2)
    payloads = [chunk({"content": "a"}, index=index) for index in (2, -1, 1, None)]
    assert take(upstream, payloads) == [Delta(1, "a"), Delta(0, "a")]


def test_c10_the_newest_usage_stands_and_a_later_null_does_not_erase_it() -> None:
    upstream = normaliser()
    upstream.feed(chunk({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1}))
    assert upstream.usage == Usage(prompt=3, completion=1)
    assert not upstream.usage_final
    take(upstream, [chunk({"content": "b"}, usage=USAGE), chunk({}, finish="stop", usage=None)])
    assert upstream.usage == Usage(prompt=3, completion=2)
    assert not upstream.usage_final


@pytest.mark.parametrize(
    "payload", [chunk({}, finish="stop", usage=USAGE), chunk({}, finish="stop", choice={"usage": USAGE})]
)
def test_usage_with_the_finish_is_final(payload: bytes) -> None:
    upstream = normaliser()
    upstream.feed(payload)
    assert upstream.usage == Usage(prompt=3, completion=2)
    assert upstream.usage_final


@pytest.mark.parametrize(
    "gained",
    [
        {"content": "a"},
        {"reasoning": "a"},
        {"refusal": "a"},
        {"tool_calls": [call(0, "a", "f")]},
        {"audio": {"id": "x", "data": "AAAA"}},
        {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
    ],
)
def test_each_kind_of_output_is_content(gained: dict[str, Any]) -> None:
    upstream = normaliser()
    upstream.feed(ROLE)
    assert not upstream.has_content
    deltas = upstream.feed(chunk(gained)) + upstream.close()
    assert upstream.has_content
    accumulator = Accumulator()
    accumulator.add(deltas)
    assert not accumulator.empty


def test_citations_alone_are_no_content() -> None:
    upstream = normaliser()
    upstream.feed(chunk({"annotations": [{"type": "url_citation"}]}))
    assert not upstream.has_content


def test_c17_annotations_of_many_chunks_leave_once_at_the_close() -> None:
    upstream = normaliser()
    deltas = take(upstream, [chunk({"content": "a", "annotations": [{"n": n}]}) for n in (1, 2)] + [STOP])
    assert deltas == [Delta(0, "a"), Delta(0, "a"), Delta(0, extras={"annotations": [{"n": 1}, {"n": 2}]})]
    assert upstream.close() == []


def test_c17_reasoning_details_pass_unchanged() -> None:
    details = [{"type": "reasoning.encrypted", "data": "eA==", "format": "x", "index": 0, "id": None}]
    assert take(normaliser(), [ROLE, chunk({"reasoning_details": details})]) == [
        Delta(0, extras={"reasoning_details": details})
    ]


def test_c4_the_id_of_an_audio_answer_goes_out_once() -> None:
    payloads = [chunk({"audio": {"id": "audio_1", "transcript": word}}) for word in ("a", "b")]
    assert [delta.extras for delta in take(normaliser(), payloads)] == [
        {"audio": {"id": "audio_1", "transcript": "a"}},
        {"audio": {"transcript": "b"}},
    ]


def test_c17_the_service_tier_is_passed_once_and_padding_with_its_own_delta() -> None:
    payloads = [chunk({"content": c}, service_tier="flex", obfuscation=c * 2) for c in ("", "a", "b")]
    assert take(normaliser(), payloads) == [
        Delta(0, "a", top={"service_tier": "flex", "obfuscation": "aa"}),
        Delta(0, "b", top={"obfuscation": "bb"}),
    ]


def test_c15_logprobs_pass_with_their_text() -> None:
    entry = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    deltas = take(normaliser(), [ROLE, chunk({"content": "a"}, choice={"logprobs": {"content": [entry], "other": 1}})])
    assert deltas == [Delta(0, "a", logprobs={"content": [entry], "refusal": None})]
    assert take(normaliser(), [ROLE, chunk({"content": "a"}, choice={"logprobs": {"content": []}})]) == [Delta(0, "a")]


def test_the_identity_of_the_upstream_is_the_first_it_gave() -> None:
    upstream = normaliser()
    take(upstream, [chunk({}, id=None, model=""), chunk({"content": "a"}), chunk({"content": "b"}, id="x", model="y")])
    assert (upstream.upstream_id, upstream.upstream_model, upstream.upstream_provider) == ("up-1", "up/model", None)


def test_c2_a_change_of_id_or_model_in_mid_stream_touches_no_delta() -> None:
    upstream = normaliser()
    assert take(upstream, [ROLE, chunk({"content": "a"}, id="x", model="y")]) == [Delta(0, "a")]


def test_a_whole_message_reads_as_if_streamed() -> None:
    message = {
        "role": "assistant",
        "content": "x",
        "reasoning": "r",
        "tool_calls": [call(None, "a", "f", {"x": 1}), call(None, "b", "g", "")],
    }
    upstream = normaliser()
    body = chunk(choice={"message": message}, finish="stop", usage=USAGE | {"cost": 1})
    deltas = upstream.from_message(body)
    assert (deltas[0].content, deltas[0].reasoning) == ("x", "r")
    assert joined(deltas) == [(0, "a", "f", '{"x":1}'), (1, "b", "g", "{}")]
    assert upstream.finishes == {0: "tool_calls"}
    assert (upstream.usage, upstream.cost) == (Usage(prompt=3, completion=2), 1.0)
    assert upstream.finished
    assert upstream.usage_final


@pytest.mark.parametrize("body", [b"{}", b'{"choices":[]}', b'{"choices":null}', b"", b"[]"])
def test_a_message_without_choices_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        normaliser().from_message(body)


def test_a_message_with_an_error_is_a_fault() -> None:
    with pytest.raises(StreamFault):
        normaliser().from_message(b'{"error":{"code":502,"message":"x"},"choices":[]}')


def test_done_is_left_to_the_caller() -> None:
    with pytest.raises(Malformed):
        Normaliser().feed(read(sse("[DONE]"))[0])
