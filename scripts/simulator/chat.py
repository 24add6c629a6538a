"""A chat request in, a script out: reads the cues, picks the trigger, composes the answer, shapes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from scripts.simulator.answers import Answer, compose
from scripts.simulator.book import Book, Record
from scripts.simulator.chat_request import ChatRequest
from scripts.simulator.cues import CueError, Cues, read_cues
from scripts.simulator.dialects.dialect import Dialect
from scripts.simulator.script import JSON, Headers, Script, Step, json_script
from scripts.simulator.settings import Settings
from scripts.simulator.streamed import stream_steps
from scripts.simulator.triggers import Refusal, Trigger, choose
from scripts.simulator.turn import Turn
from scripts.simulator.unstreamed import whole_body

EVENT_STREAM: Final[Headers] = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
_HTML: Final = b"<!DOCTYPE html><html><head><title>500</title></head><body><h1>Internal Server Error</h1></body></html>"

#: What a careless upstream lets out; none of it may reach the gateway's client.
NOISY: Final[Headers] = (
    ("server", "leaky-upstream/1.2"),
    ("via", "1.1 inner-proxy.leak.invalid"),
    ("set-cookie", "session=leaked-cookie; Path=/"),
    ("x-powered-by", "LeakyFramework"),
    ("openai-organization", "org-leaked"),
    ("openai-project", "proj-leaked"),
    ("x-api-key-hint", "sk-leak...1234"),
    ("x-request-id", "req-leaked-upstream"),
    ("x-ratelimit-limit-requests", "99999"),
    ("x-ratelimit-remaining-tokens", "99999"),
    ("cf-ray", "leaked-ray"),
    ("x-upstream-account", "leaked-account"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request at a provider's surface, with the record that the book keeps of it."""

    dialect: Dialect
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    record: Record
    book: Book
    settings: Settings


def chat_completion(asked: Asked) -> Script:
    """The script of one chat request; its record learns model, tag, triggers, prompt tokens and the answer's id."""
    record, dialect = asked.record, asked.dialect
    try:
        request, cues = _understood(asked)
        trigger = choose(cues.triggers, asked.book.first_time)
    except _RefusedError as turned_away:
        return refusal(dialect, turned_away.kind, str(turned_away) or None)
    except (msgspec.ValidationError, CueError) as problem:
        return refusal(dialect, "bad_request", str(problem))
    if trigger.refusal is not None:
        return refused(dialect, trigger.refusal, trigger)
    if trigger.stop == "headers":
        return Script(silent=True, ending=trigger.ending, fault=True)
    ids = cues.ids or f"{int(record.wall):x}{record.n:06x}"
    asked.book.name_answer(record, dialect.id_prefix + ids)
    answer = compose(request, cues, trigger.quirks, asked.settings, ids)
    record.prompt_tokens = answer.prompt_tokens
    return _play(_turn(asked, request, cues, trigger, answer), streamed=bool(request.stream))


def refusal(dialect: Dialect, kind: Refusal, message: str | None = None) -> Script:
    status, body = dialect.refuse(kind, message)
    return json_script(body, status)


class _RefusedError(Exception):
    """The request is turned away; without a message in the dialect's usual words."""

    def __init__(self, kind: Refusal, message: str = "") -> None:
        super().__init__(message)
        self.kind: Refusal = kind


def _understood(asked: Asked) -> tuple[ChatRequest, Cues]:
    """The request, typed, and its cues; the record learns what it can even when this raises."""
    record, dialect = asked.record, asked.dialect
    raw = _decoded(asked.body)
    if raw is not None:
        record.keep_body(asked.body)
    if not dialect.credited(asked.headers):
        raise _RefusedError("bad_key")
    if raw is None:
        raise _RefusedError("bad_request", "The body is not JSON.")
    request = msgspec.convert(raw, ChatRequest)
    record.model = request.model
    cues = read_cues(request.model, request.last_user_text)
    record.tag, record.triggers = cues.tag, cues.triggers
    unknown = set(raw) - dialect.fields if dialect.fields is not None else ()
    if unknown:
        raise _RefusedError("bad_request", f"Unknown fields: {', '.join(sorted(unknown))}")
    return request, cues


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def refused(dialect: Dialect, kind: Refusal, trigger: Trigger) -> Script:
    """A refusal as its trigger wants it: late, cut, as a web page, with a wait."""
    status, body = dialect.refuse(kind)
    html = "html" in trigger.quirks
    data = _HTML if html else msgspec.json.encode(body)
    headers: Headers = (("content-type", "text/html; charset=utf-8"),) if html else JSON
    if trigger.retry_after_s is not None:
        headers += (("retry-after", str(trigger.retry_after_s)),)
    cut = trigger.stop is not None
    return Script(
        status=status,
        headers=headers,
        steps=(Step(data[: len(data) // 2] if cut else data),),
        length=len(data),
        delay_s=trigger.delay_ms / 1000,
        ending=trigger.ending,
        fault=True,
    )


def _turn(asked: Asked, request: ChatRequest, cues: Cues, trigger: Trigger, answer: Answer) -> Turn:
    settings = asked.settings
    paces = (cues.pace, trigger.pace, settings.pace)
    firsts = (cues.first_ms, settings.first_token_ms)
    return Turn(
        dialect=asked.dialect,
        trigger=trigger,
        answer=answer,
        id=asked.record.answer_id or "",
        created=int(asked.record.wall),
        model=request.model,
        usage_asked=request.usage_asked,
        top_logprobs=(request.top_logprobs or 0) if request.logprobs else None,
        pace=next((pace for pace in paces if pace is not None), 0.0),
        first_s=next((first for first in firsts if first is not None), 0.0) / 1000,
    )


def _play(turn: Turn, *, streamed: bool) -> Script:
    trigger = turn.trigger
    headers: Headers = NOISY if turn.has("noisy_headers") else ()
    if turn.dialect.id_header:
        headers += ((turn.dialect.id_header, turn.id),)
    fault = trigger.stop is not None or turn.has("bad_first_chunk") or turn.has("invalid_json_body")
    if not streamed or turn.has("invalid_json_body"):
        return _unstreamed(turn, headers, fault=fault)
    steps = () if trigger.stop == "body" else stream_steps(turn)
    return Script(
        headers=EVENT_STREAM + headers,
        steps=steps,
        ending=trigger.ending,
        bytewise=turn.has("split_utf8"),
        fault=fault,
    )


def _unstreamed(turn: Turn, headers: Headers, *, fault: bool) -> Script:
    """One body; what cuts a stream in its content cuts this in its middle. All of its tokens go out, or none."""
    body: dict[str, Any] = whole_body(turn)
    data = msgspec.json.encode(body)
    length = len(data)
    completion = turn.answer.completion_tokens
    due = turn.due(completion)
    broken = turn.has("invalid_json_body") or turn.has("bad_first_chunk")
    if broken or (turn.trigger.stop == "content" and not turn.trigger.error):
        data = data[: length // 2]
        step = Step(data, due)
    else:
        step = Step(data, due, 0 if turn.trigger.error else completion, body.get("usage"))
    proper = turn.trigger.ending == "end"
    return Script(
        headers=JSON + headers,
        steps=() if turn.trigger.stop == "body" else (step,),
        length=len(data) if proper else length,
        ending=turn.trigger.ending,
        bytewise=turn.has("split_utf8"),
        fault=fault,
    )
