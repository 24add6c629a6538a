"""Upstream streams as each provider sends them, and what the real openai SDK makes of ours."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from app.core.accumulate import Accumulator
from app.core.chat_stream import ChatWriter
from app.core.deltas import Delta, ToolDelta, Usage
from app.core.normalise import Normaliser
from app.core.sse import DONE, Decoder

CALL = "chatcmpl-1"
CREATED = 1790000000
MODEL = "m"


def chunk(delta: Any = None, *, index: Any = 0, finish: Any = None, choice: Any = None, **top: Any) -> bytes:
    """One upstream chunk with one choice; `choice` and `top` add keys inside and beside it."""
    one = {"index": index, "delta": delta, "finish_reason": finish, **(choice or {})}
    body = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "up/model", "choices": [one]}
    return json.dumps(body | top, ensure_ascii=False).encode()


def call(index: Any = None, id: Any = None, name: Any = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """One entry of `tool_calls`; a key that is None stays away."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    entry = {key: value for key, value in (("index", index), ("id", id), ("type", "function")) if value is not None}
    return entry | {"function": function} | more


def tools(*entries: Any) -> bytes:
    return chunk({"tool_calls": list(entries)})


def joined(deltas: list[Delta]) -> list[tuple[int, str | None, str | None, str]]:
    """Each call as (index, id, name, arguments), its id and name from the one fragment that has them."""
    calls: dict[int, list[ToolDelta]] = {}
    for delta in deltas:
        for tool in delta.tools or []:
            calls.setdefault(tool.index, []).append(tool)
    for index, fragments in calls.items():
        assert [fragment.id for fragment in fragments[1:]] == [None] * (len(fragments) - 1), index
        assert [fragment.name for fragment in fragments[1:]] == [None] * (len(fragments) - 1), index
    assert list(calls) == list(range(len(calls)))
    return [(index, parts[0].id, parts[0].name, "".join(p.arguments for p in parts)) for index, parts in calls.items()]


def normaliser(choices: int = 1) -> Normaliser:
    numbers = itertools.count()
    return Normaliser(choices, lambda: f"minted_{next(numbers)}")


def take(upstream: Normaliser, payloads: Iterable[bytes]) -> list[Delta]:
    """All deltas of a whole stream."""
    deltas = [delta for payload in payloads if payload != DONE for delta in upstream.feed(payload)]
    return deltas + upstream.close()


def read(stream: bytes, size: int = 1 << 16) -> list[bytes]:
    decoder = Decoder()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    return [payload for piece in pieces for payload in decoder.feed(piece)] + decoder.end()


def writer(choices: int = 1, *, include_usage: bool = False, logprobs: bool = False) -> ChatWriter:
    return ChatWriter(CALL, CREATED, MODEL, choices, include_usage, logprobs)


def written(
    deltas: list[Delta], upstream: Normaliser, choices: int = 1, *, include_usage: bool = True, logprobs: bool = False
) -> bytes:
    """Our whole stream for what the upstream said, a heartbeat in the middle."""
    out = writer(choices, include_usage=include_usage, logprobs=logprobs)
    middle = len(deltas) // 2
    body = out.write(deltas[:middle]) + out.heartbeat() + out.write(deltas[middle:])
    return out.open() + body + out.close(upstream.finishes, upstream.usage or Usage())


def folded(deltas: list[Delta], upstream: Normaliser, choices: int = 1, *, logprobs: bool = False) -> dict[str, Any]:
    """Our body for the same."""
    accumulator = Accumulator(logprobs=logprobs)
    accumulator.add(deltas)
    body = accumulator.completion(CALL, CREATED, MODEL, upstream.finishes, upstream.usage or Usage(), choices)
    return dict(json.loads(body))


def objects(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of every event but `[DONE]`."""
    return [json.loads(payload) for payload in read(stream) if payload != DONE]


def sdk_completion(stream: bytes) -> dict[str, Any]:
    """What openai-python's own accumulator returns for the stream, as plain JSON in the shape of our body."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for item in objects(stream):
        state.handle_chunk(ChatCompletionChunk.model_validate(item))
    completion = dict(state.current_completion_snapshot.to_dict())
    choices: Any = completion["choices"]
    for choice in choices:
        # The SDK names every field of its own models; ours leaves out what is not there.
        always = {"content": None, "refusal": None}
        message = always | {key: value for key, value in choice["message"].items() if value is not None}
        choice["message"] = message
        for tool in message.get("tool_calls") or []:
            tool.pop("index", None)
            tool["function"].pop("parsed_arguments", None)
        if message.get("tool_calls"):
            # A stream opens with `""` (C14); a body with calls and no text says null.
            message["content"] = message["content"] or None
        choice.setdefault("logprobs", None)
    return completion


def sse(*payloads: str) -> bytes:
    return "".join(f"data: {payload}\n\n" for payload in payloads).encode()


_OR = '"id":"gen-1","provider":"DeepInfra","model":"moonshotai/kimi-k2.5","object":"chat.completion.chunk","created":1'
OPENROUTER = b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + sse(
    f'{{{_OR},"choices":[{{"index":0,"delta":{{"role":"assistant","content":"","reasoning":"User ",'
    '"reasoning_details":[{"type":"reasoning.text","text":"User ","format":"unknown","index":0}]},'
    '"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}',
    f'{{{_OR},"choices":[{{"index":0,"delta":{{"role":"assistant","content":"","reasoning":"asks.",'
    '"reasoning_details":[{"type":"reasoning.text","text":"asks.","format":"unknown","index":0,"signature":"c2ln"}]},'
    '"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}',
    f'{{{_OR},"choices":[{{"index":0,"delta":{{"role":"assistant","content":"2 + 2","reasoning":null}},'
    '"finish_reason":null}]}',
    f'{{{_OR},"choices":[{{"index":0,"delta":{{"role":"assistant","content":" = 4"}},"finish_reason":null}}]}}',
    f'{{{_OR},"choices":[{{"index":0,"delta":{{"role":"assistant","content":""}},"finish_reason":"stop",'
    '"native_finish_reason":"stop"}]}',
    f'{{{_OR},"choices":[],"usage":{{"prompt_tokens":10,"completion_tokens":8,"total_tokens":18,"cost":0.00014,'
    '"is_byok":false,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2},'
    '"cost_details":{"upstream_inference_cost":null},"completion_tokens_details":{"reasoning_tokens":3}}}',
    "[DONE]",
)
_CF = '"id":"id-1","object":"chat.completion.chunk","created":1,"model":"@cf/moonshotai/kimi-k2.6"'
CLOUDFLARE = sse(
    f'{{{_CF},"choices":[{{"index":0,"delta":{{"role":"assistant","content":""}},"logprobs":null,'
    '"finish_reason":null}],"usage":null,"p":"abc"}',
    f'{{{_CF},"choices":[{{"index":0,"delta":{{"reasoning_content":"Hm."}},"finish_reason":null}}]}}',
    f'{{{_CF},"choices":[{{"index":0,"delta":{{"content":"नमस्ते"}},"finish_reason":null}}]}}',
    f'{{{_CF},"choices":[{{"index":0,"delta":{{"content":" 🙏"}},"finish_reason":null}}]}}',
    f'{{{_CF},"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}',
    f'{{{_CF},"choices":[],"usage":{{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}}}',
    "[DONE]",
)
_SV = '"id":"sv-1","object":"chat.completion.chunk","created":1,"model":"sarvam-30b"'
SARVAM = sse(
    f'{{{_SV},"choices":[{{"index":0,"delta":{{"role":"assistant","content":null,"reasoning_content":"सोच",'
    '"refusal":null,"function_call":null,"tool_calls":null},"finish_reason":null,"logprobs":null}],"usage":null,'
    '"service_tier":null,"system_fingerprint":null}',
    f'{{{_SV},"choices":[{{"index":0,"delta":{{"role":null,"content":"हाँ","refusal":null,"tool_calls":null}},'
    '"finish_reason":null,"logprobs":null}],"usage":null}',
    f'{{{_SV},"choices":[{{"index":0,"delta":{{"content":null}},"finish_reason":"length","logprobs":null}}],"usage":'
    '{"prompt_tokens":9,"completion_tokens":6,"total_tokens":15,"completion_tokens_details":{},'
    '"prompt_tokens_details":null}}',
    "[DONE]",
).replace(b"\n", b"\r\n")
_OL = '"id":"chatcmpl-42","object":"chat.completion.chunk","created":1,"model":"qwen3","system_fingerprint":"fp_ollama"'
OLLAMA = sse(
    f'{{{_OL},"choices":[{{"index":0,"delta":{{"role":"assistant","content":"","reasoning":"Call both."}},'
    '"finish_reason":null}]}',
    f'{{{_OL},"choices":[{{"index":0,"delta":{{"role":"assistant","content":"","tool_calls":[{{"id":"call_a","index":0,'
    '"type":"function","function":{"name":"get_weather","arguments":"{\\"city\\":\\"Pune\\"}"}}]},"finish_reason":null}]}',
    f'{{{_OL},"choices":[{{"index":0,"delta":{{"role":"assistant","content":"","tool_calls":[{{"id":"call_b","index":0,'
    '"type":"function","function":{"name":"get_time","arguments":{}}}]},"finish_reason":null}]}',
    f'{{{_OL},"choices":[{{"index":0,"delta":{{"role":"assistant","content":""}},"finish_reason":"tool_calls"}}]}}',
    f'{{{_OL},"choices":[],"usage":{{"prompt_tokens":30,"completion_tokens":20,"total_tokens":50}}}}',
    "[DONE]",
)
_VL = '"id":"chatcmpl-9f","object":"chat.completion.chunk","created":1,"model":"Qwen/Qwen3-8B"'
VLLM = sse(
    f'{{{_VL},"choices":[{{"index":0,"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}],'
    '"usage":{"prompt_tokens":5,"total_tokens":5,"completion_tokens":0}}',
    f'{{{_VL},"choices":[{{"index":0,"delta":{{"content":"Hi"}},"logprobs":null,"finish_reason":null}}],'
    '"usage":{"prompt_tokens":5,"total_tokens":6,"completion_tokens":1}}',
    f'{{{_VL},"choices":[{{"index":0,"delta":{{"tool_calls":[{{"id":"chatcmpl-tool-1","type":"function","index":0,'
    '"function":{"name":"now","arguments":""}}]},"logprobs":null,"finish_reason":null}]}',
    f'{{{_VL},"choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":"{{\\"tz\\":"}}}}]}},'
    '"finish_reason":null}]}',
    f'{{{_VL},"choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":"1}}"}}}}]}},'
    '"finish_reason":null}]}',
    f'{{{_VL},"choices":[{{"index":0,"delta":{{"content":""}},"logprobs":null,"finish_reason":"tool_calls",'
    '"stop_reason":null}],"usage":{"prompt_tokens":5,"total_tokens":12,"completion_tokens":7}}',
    f'{{{_VL},"choices":[],"usage":{{"prompt_tokens":5,"total_tokens":13,"completion_tokens":8,'
    '"prompt_tokens_details":{"cached_tokens":4}}}',
    "[DONE]",
)
GOLDEN = {"openrouter": OPENROUTER, "cloudflare": CLOUDFLARE, "sarvam": SARVAM, "ollama": OLLAMA, "vllm": VLLM}
