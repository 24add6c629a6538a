"""The table of misbehaviours: each trigger is data that the answer's shaping and the server's player obey."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

from scripts.simulator.cues import CueError
from scripts.simulator.script import Ending

#: The errors every dialect words in its own way.
Refusal = Literal[
    "bad_key",
    "no_credit",
    "forbidden",
    "not_found",
    "rate_limited",
    "context_length",
    "content_policy",
    "bad_request",
    "server_error",
    "bad_gateway",
    "unavailable",
    "overloaded",
]
#: Where an answer stops: before its headers, its body, in its content, before or after the terminal mark.
Stage = Literal["headers", "body", "content", "terminal", "end"]
#: Faults of form in an answer that otherwise goes through.
Quirk = Literal[
    "all_zero_index",
    "bad_first_chunk",
    "empty_answer",
    "giant_line",
    "html",
    "invalid_json_body",
    "length",
    "no_index",
    "no_role",
    "no_usage",
    "noisy_headers",
    "numbered",
    "object_arguments",
    "repeat_ids",
    "role_each_chunk",
    "shuffled_choices",
    "signed_thinking",
    "split_utf8",
    "stop_with_tools",
    "usage_each_chunk",
    "usage_zero",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One misbehaviour. `stop` with `ending` cuts the answer; `error` puts the dialect's in-band error at the cut."""

    about: str = ""
    refusal: Refusal | None = None
    retry_after_s: int | None = None
    delay_ms: float = 0.0
    stop: Stage | None = None
    after_tokens: int = 5
    ending: Ending = "end"
    error: bool = False
    pace: float | None = None
    quirks: frozenset[Quirk] = frozenset()


def _cut(about: str, stop: Stage, ending: Ending, after_tokens: int = 5) -> Trigger:
    return Trigger(about=about, stop=stop, ending=ending, after_tokens=after_tokens)


def _refuse(about: str, refusal: Refusal, retry_after_s: int | None = None) -> Trigger:
    return Trigger(about=about, refusal=refusal, retry_after_s=retry_after_s)


def _quirk(about: str, *quirks: Quirk) -> Trigger:
    return Trigger(about=about, quirks=frozenset(quirks))


GOOD: Final = Trigger()

TRIGGERS: Final[dict[str, Trigger]] = {
    "hang_headers": _cut("reads the request and never answers", "headers", "hang"),
    "hang_headers_after_accept": _cut("200 and headers, then no body", "body", "hang"),
    "hang_mid": _cut("3 tokens, then silence", "content", "hang", 3),
    "slow_tokens": Trigger(about="one numbered token per 200 ms", pace=5.0, quirks=frozenset({"numbered"})),
    "5xx": _refuse("500 in the dialect's own format", "server_error"),
    "500": _refuse("the same", "server_error"),
    "502": _refuse("502: a provider behind it failed", "bad_gateway"),
    "503": _refuse("503: unavailable", "unavailable"),
    "529": _refuse("529: overloaded", "overloaded"),
    "5xx_hang_body": Trigger(about="500 whose body never ends", refusal="server_error", stop="content", ending="hang"),
    "html_500": Trigger(about="500 with an HTML page", refusal="server_error", quirks=frozenset({"html"})),
    "401": _refuse("refuses our key (403 on Sarvam)", "bad_key"),
    "402": _refuse("our balance is out (429 on Cloudflare and Sarvam)", "no_credit"),
    "403": _refuse("403: not permitted", "forbidden"),
    "404": _refuse("404: no such model", "not_found"),
    "noisy_headers": _quirk("a good answer with 12 headers that must not leak", "noisy_headers"),
    "429": _refuse("429 without Retry-After", "rate_limited"),
    "429_retry_after_7": _refuse("429 with Retry-After: 7", "rate_limited", 7),
    "context_length": _refuse("the dialect's own context length error", "context_length"),
    "content_policy": _refuse("the dialect's own content policy error", "content_policy"),
    "bad_request": _refuse("the dialect's own invalid request error", "bad_request"),
    "fail_once:KEY": _refuse("500 to the first request with this KEY, good answers after it", "server_error"),
    "hang_once:KEY": _cut("200 and no body to the first request with this KEY, good answers after it", "body", "hang"),
    "late_error:MS": _refuse("waits MS milliseconds, then 500", "server_error"),
    "error_200": Trigger(
        about="200, then the dialect's error and no content", stop="content", after_tokens=0, error=True
    ),
    "close_before_body": _cut("200 and headers, then closes", "body", "fin"),
    "bad_first_chunk": _quirk("200, then a first chunk that is no JSON, then the end", "bad_first_chunk"),
    "invalid_json_body": _quirk("200 with a JSON body that breaks off, streamed or not", "invalid_json_body"),
    "eof_mid": _cut("closes after 5 tokens (FIN, HTTP body unfinished)", "content", "fin"),
    "end_mid": _cut("ends the HTTP body properly after 5 tokens, without finish or [DONE]", "content", "end"),
    "rst_mid": _cut("resets the connection after 5 tokens", "content", "rst"),
    "error_mid": Trigger(about="the dialect's in-band error after 5 tokens", stop="content", error=True),
    "drop_after_usage": _cut("closes after finish and usage, before [DONE]", "terminal", "fin"),
    "hang_before_done": _cut("finish and usage, then silence in place of [DONE]", "terminal", "hang"),
    "hang_after_done": _cut("everything but the end of the HTTP body, then silence", "end", "hang"),
    "html_body": _quirk("200 with an HTML page in place of a JSON body", "html"),
    "empty_answer": _quirk("finishes without content", "empty_answer"),
    "usage_zero": _quirk("usage of zeros", "usage_zero"),
    "no_usage": _quirk("no usage at all", "no_usage"),
    "usage_each_chunk": _quirk("running usage on every chunk", "usage_each_chunk"),
    "no_role": _quirk("no role in any chunk", "no_role"),
    "role_each_chunk": _quirk("the role in every chunk", "role_each_chunk"),
    "no_index": _quirk("two tool calls without index", "no_index"),
    "all_zero_index": _quirk("two tool calls, both with index 0", "all_zero_index"),
    "object_arguments": _quirk("tool call arguments as an object, not a string", "object_arguments"),
    "stop_with_tools": _quirk("a tool call with finish_reason stop", "stop_with_tools"),
    "shuffled_choices": _quirk("with n > 1 the last choice comes first", "shuffled_choices"),
    "signed_thinking": _quirk(
        "reasoning_details: each text, then its signature and an encrypted block", "signed_thinking"
    ),
    "length": _quirk("finish_reason length", "length"),
    "repeat_ids": _quirk("id and model change per chunk, tool fragments repeat id and name", "repeat_ids"),
    "split_utf8": _quirk("Devanagari and emoji, written one byte at a time", "split_utf8"),
    "giant_line": _quirk("one line of 1 MiB", "giant_line"),
}


def choose(names: Iterable[str], first_time: Callable[[str], bool]) -> Trigger:
    """The triggers named, as one: of two that set the same thing the later wins, quirks add up. Raises `CueError`."""
    chosen = GOOD
    for name in names:
        chosen = _merge(chosen, _named(name, first_time))
    return chosen


def _named(name: str, first_time: Callable[[str], bool]) -> Trigger:
    word, colon, argument = name.partition(":")
    if not colon and name in TRIGGERS:
        return TRIGGERS[name]
    if word in ("fail_once", "hang_once") and argument:
        return TRIGGERS[f"{word}:KEY"] if first_time(argument) else GOOD
    if word == "late_error" and argument.isdecimal():
        return replace(TRIGGERS["late_error:MS"], delay_ms=int(argument))
    raise CueError(f"there is no trigger {name!r}: `python -m scripts.simulator --help` lists them")


def _merge(first: Trigger, second: Trigger) -> Trigger:
    changed = {
        field.name: value
        for field in fields(Trigger)
        if (value := getattr(second, field.name)) != getattr(GOOD, field.name)
    }
    return replace(first, **changed | {"quirks": first.quirks | second.quirks})
