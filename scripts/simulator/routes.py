"""Which path is answered by what: the providers' surfaces, whose requests go into the book, and the book itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from scripts.simulator import lookups, media, search, transcripts, voices
from scripts.simulator.book import Book, Record
from scripts.simulator.chat import Asked, chat_completion
from scripts.simulator.dialects.cloudflare import CLOUDFLARE
from scripts.simulator.dialects.dialect import Dialect
from scripts.simulator.dialects.openai import LOCAL, OPENAI
from scripts.simulator.dialects.openrouter import OPENROUTER
from scripts.simulator.dialects.sarvam import SARVAM
from scripts.simulator.dialects.search import BRAVE, EXA, SEARXNG, SERPER, TAVILY
from scripts.simulator.script import Script, json_script
from scripts.simulator.settings import Settings


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request read whole; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))


class Surface(NamedTuple):
    """A route of a provider; `{word}` in its path stands for any one segment."""

    method: str
    path: str
    dialect: Dialect
    answer: Callable[[Asked], Script]


class Desk(NamedTuple):
    """A route of the simulator itself."""

    method: str
    path: str
    answer: Callable[[Request, Book], Script]


CF_RUN: Final = "/cloudflare/client/v4/accounts/{account}/ai/run"
SURFACES: Final = (
    Surface("POST", "/openrouter/api/v1/chat/completions", OPENROUTER, chat_completion),
    Surface("GET", "/openrouter/api/v1/models", OPENROUTER, lookups.model_list),
    Surface("GET", "/openrouter/api/v1/key", OPENROUTER, lookups.key),
    Surface("GET", "/openrouter/api/v1/credits", OPENROUTER, lookups.account_credits),
    Surface("GET", "/openrouter/api/v1/generation", OPENROUTER, lookups.generation),
    Surface("POST", "/cloudflare/client/v4/accounts/{account}/ai/v1/chat/completions", CLOUDFLARE, chat_completion),
    Surface("POST", "/sarvam/v1/chat/completions", SARVAM, chat_completion),
    Surface("GET", "/sarvam/v1/models", SARVAM, lookups.model_list),
    Surface("POST", "/openai/v1/chat/completions", OPENAI, chat_completion),
    Surface("GET", "/openai/v1/models", OPENAI, lookups.model_list),
    Surface("POST", "/local/v1/chat/completions", LOCAL, chat_completion),
    Surface("GET", "/local/v1/models", LOCAL, lookups.model_list),
    Surface("POST", "/sarvam/speech-to-text", SARVAM, transcripts.sarvam),
    Surface("POST", "/sarvam/text-to-speech", SARVAM, voices.sarvam),
    Surface("POST", "/sarvam/text-to-speech/stream", SARVAM, voices.sarvam_stream),
    Surface("POST", f"{CF_RUN}/@cf/openai/whisper-large-v3-turbo", CLOUDFLARE, transcripts.whisper),
    Surface("POST", f"{CF_RUN}/@cf/deepgram/nova-3", CLOUDFLARE, transcripts.nova),
    Surface("POST", f"{CF_RUN}/@cf/deepgram/{{model}}", CLOUDFLARE, voices.aura),
    Surface("POST", f"{CF_RUN}/@cf/myshell-ai/melotts", CLOUDFLARE, voices.melotts),
    Surface("POST", "/openrouter/api/v1/audio/transcriptions", OPENROUTER, transcripts.openai),
    Surface("POST", "/openrouter/api/v1/audio/speech", OPENROUTER, voices.openai),
    Surface("POST", "/cloudflare/client/v4/accounts/{account}/ai/v1/embeddings", CLOUDFLARE, media.embeddings),
    Surface("POST", "/openrouter/api/v1/embeddings", OPENROUTER, media.embeddings),
    Surface("POST", "/openrouter/api/v1/images", OPENROUTER, media.openrouter_image),
    Surface("POST", f"{CF_RUN}/@cf/{{owner}}/{{model}}", CLOUDFLARE, media.cloudflare_image),
    Surface("POST", "/serper/search", SERPER, search.serper),
    Surface("POST", "/serper/news", SERPER, search.serper),
    Surface("POST", "/serper/images", SERPER, search.serper),
    Surface("POST", "/exa/search", EXA, search.exa),
    Surface("POST", "/tavily/search", TAVILY, search.tavily),
    Surface("GET", "/brave/res/v1/web/search", BRAVE, search.brave),
    Surface("GET", "/brave/res/v1/news/search", BRAVE, search.brave),
    Surface("GET", "/searxng/search", SEARXNG, search.searxng),
)


_PATTERNS: Final = tuple((surface, re.compile(re.sub(r"{\w+}", "[^/]+", surface.path))) for surface in SURFACES)


def find_surface(request: Request) -> Surface | None:
    """The provider's route this request is for."""
    path = request.path
    for surface, pattern in _PATTERNS:
        if surface.method == request.method and pattern.fullmatch(path):
            return surface
    return None


def ask(surface: Surface, request: Request, record: Record, book: Book, settings: Settings) -> Script:
    """The provider's answer to a request whose record is open."""
    return surface.answer(
        Asked(surface.dialect, request.headers, request.query, request.body, record, book, settings),
    )


def attend(request: Request, book: Book) -> Script:
    """The simulator's own answer: health, the book, or what can be asked at all."""
    for desk in DESKS:
        if desk.method == request.method and desk.path == request.path:
            return desk.answer(request, book)
    paths = [f"{route.method} {route.path}" for route in SURFACES]
    return json_script({"error": f"nothing answers {request.method} {request.path}", "paths": paths}, 404)


def _welcome(request: Request, book: Book) -> Script:
    return json_script({"service": "simulator", "paths": [f"{route.method} {route.path}" for route in SURFACES]})


def _health(request: Request, book: Book) -> Script:
    return json_script({"status": "ok"})


def _records(request: Request, book: Book) -> Script:
    query = request.query
    since = query.get("since", "0")
    if not since.isdecimal():
        return json_script({"error": "since is the number n of a record"}, 400)
    return json_script([record.view() for record in book.records(query.get("tag"), int(since))])


def _summary(request: Request, book: Book) -> Script:
    return json_script(book.summary())


def _clear(request: Request, book: Book) -> Script:
    book.clear()
    return json_script({"cleared": True})


DESKS: Final = (
    Desk("GET", "/", _welcome),
    Desk("GET", "/healthz", _health),
    Desk("GET", "/book", _records),
    Desk("GET", "/book/summary", _summary),
    Desk("DELETE", "/book", _clear),
)
