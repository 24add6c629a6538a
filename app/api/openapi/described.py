"""One operation as the document tells it, whichever surface it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

Json = dict[str, Any]
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
#: The names of the document's security schemes.
Scheme = Literal["bearer", "x-api-key", "session"]
#: Whose form errors have; "either": Anthropic's when the request has an `anthropic-version`.
Form = Literal["openai", "anthropic", "either"]


@dataclass(frozen=True, slots=True)
class Content:
    """A body of one media type.

    `type` is what msgspec encodes or decodes, a tuple where it is one of several; where there is none, as for sound,
    `schema` says what there is to say. `events` are the types of the JSON in a stream's events, `last` the data of the
    last event where that is no JSON. `example` is a body that works.
    """

    media: str = JSON
    type: Any = None
    schema: Json | None = None
    events: tuple[Any, ...] = ()
    last: str = ""
    example: Any = None

    @property
    def types(self) -> tuple[Any, ...]:
        """Every type in it."""
        own = self.type if isinstance(self.type, tuple) else (self.type,)
        return tuple(each for each in (*own, *self.events) if each is not None)


@dataclass(frozen=True, slots=True)
class Sample:
    """How a client library calls it."""

    lang: str
    label: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Everything that the document says of one method of one path; `path` is the URL map's rule.

    `query` is a Struct whose fields are the parameters, `headers` and `reply_headers` are names of `headers.py`,
    `errors` are codes. `also` are answers with other statuses that are no errors; nothing else has such a status.
    """

    method: str
    path: str
    tag: str
    name: str
    summary: str
    description: str = ""
    security: tuple[Scheme, ...] = ()
    query: type | None = None
    headers: tuple[str, ...] = ()
    body: tuple[Content, ...] = ()
    status: int = 200
    reply: tuple[Content, ...] = ()
    reply_headers: tuple[str, ...] = ()
    also: dict[int, tuple[str, tuple[Content, ...]]] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    form: Form = "openai"
    samples: tuple[Sample, ...] = ()

    @property
    def contents(self) -> tuple[Content, ...]:
        """All bodies that it takes and gives, but for errors."""
        also = [content for _, contents in self.also.values() for content in contents]
        return (*self.body, *self.reply, *also)
