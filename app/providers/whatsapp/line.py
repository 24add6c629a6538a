"""A line to WhatsApp, whoever provides it: what is sent, and the ways in which that can end.

Sending is not idempotent at either provider, so it ends in one of four ways: `Sent`; `Refused`, a definite no;
`NotSent`, no byte of it left; `OutcomeUnknown`, which only a status with our `reference` can clear up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

#: What a definite no means, by what to do about it (wire/whatsapp-meta.md section 13, whatsapp-twilio.md section 6).
RefusalKind = Literal[
    "account",  # token, permission, policy, payment: nothing leaves this number until somebody acts
    "app_rate",  # back off 1 s doubling to 60 s
    "number_rate",  # pause the number 1 s, then slower
    "pair_rate",  # this user only, 4^X s
    "spam",  # non-template sends of this number pause for 1 h
    "maintenance",  # again after a minute
    "deleting",  # again after 5 minutes
    "transient",  # 5 tries, 1-2-4-8-16 s
    "window",  # the 24 hours are over: never again as text
    "recipient",  # cannot be reached
    "opted_out",  # the user does not want it
    "marketing_cap",  # not today
    "needs_phone",  # not to a BSUID: to the phone number if it is known
    "media",  # look up or upload once more, then give up
    "template",  # show the details
    "template_off",  # paused or disabled: stop using it
    "content",  # our fault: a dead letter
    "other",  # no retry
]


class Refused(Exception):
    """A definite no. `code` is the provider's, `message` is for the tenant, never for the user."""

    def __init__(self, kind: RefusalKind, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.kind: RefusalKind = kind
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class NotSent(Exception):
    """No byte of it left: it may be sent again at once. The text says why."""


class OutcomeUnknown(Exception):
    """It left and no answer came, or one that says nothing: it may have been delivered. The text says why."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """At least one of the two; the phone (+E.164) wins where both are known."""

    phone: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class TextContent:
    body: str
    preview_url: bool = False


@dataclass(frozen=True, slots=True)
class TemplateContent:
    """At Twilio `name` is the content SID, and `variables` go with it."""

    name: str
    language: str = "en"
    components: tuple[dict[str, Any], ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MediaContent:
    """`media_id` of an upload, a public `link`, or `kept`, a file of ours that is uploaded before it is sent. `voice`:
    a voice note (ogg, opus, mono). `otherwise` is the text to send where the file cannot be.
    """

    kind: Literal["image", "audio", "video", "document", "sticker"]
    media_id: str = ""
    link: str = ""
    caption: str = ""
    filename: str = ""
    voice: bool = False
    kept: str = ""
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class ChoiceContent:
    """At most three choices are buttons, at most ten a list; where neither can be had, a numbered text."""

    body: str
    #: (id, title)
    choices: tuple[tuple[str, str], ...]
    #: Opens the list.
    label: str = "Choose"


@dataclass(frozen=True, slots=True)
class InteractiveContent:
    """Meta's `interactive` object as the tenant wrote it."""

    interactive: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReactionContent:
    target_id: str
    emoji: str


Content = TextContent | TemplateContent | MediaContent | ChoiceContent | InteractiveContent | ReactionContent


@dataclass(frozen=True, slots=True)
class Letter:
    """One message. `reference` is the id of our row: it comes back with every status. `reply_to` is a provider id."""

    to: Recipient
    content: Content
    reference: str
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider has it."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The provider took it and could not deliver it; `code` and `message` are its own, as in `Refused`."""

    provider_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class FileWanted:
    """A file that a user sent: Meta's media id, or Twilio's URL. `sha256` is hex, "" when it is not known."""

    id: str = ""
    url: str = ""
    media_type: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What the provider says of a number that its secrets open."""

    phone: str
    name: str
    #: Messages a second, as far as the provider tells.
    per_second: int | None = None


class MediaUnavailable(Exception):
    """The file cannot be had: gone, too large, not what it was said to be. The text is for the tenant."""


class Line(Protocol):
    """One number's way out. Nothing here has a deadline of its own but what its docstring says; cancel closes the
    socket. Whatever the provider does, only the exceptions named here come out.
    """

    async def send(self, letter: Letter) -> Sent:
        """Raises Refused, NotSent, OutcomeUnknown. Waits at most 10 s for the answer."""
        ...

    async def show_typing(self, message_id: str) -> None:
        """Mark the user's message as read and show that an answer is being written. Failures are logged only."""
        ...

    async def fetch(self, wanted: FileWanted, cap: int) -> File:
        """Raises MediaUnavailable; the hash, the size and the host are checked."""
        ...

    async def upload(self, data: bytes, media_type: str, name: str) -> str:
        """The media id to send it by. Raises Refused, NotSent; at Twilio `Refused("content", ...)`: it takes links."""
        ...

    async def check(self) -> Checked:
        """Whether the secrets open this number. Raises Refused, NotSent."""
        ...

    async def belongs_to(self, business: str) -> bool:
        """Whether the provider says that this number belongs to the business account. Raises Refused when it does not
        let these secrets look, NotSent.
        """
        ...

    async def find(self, letter: Letter, since_s: float) -> Sent | Undelivered | None:
        """A message like this one that the provider has had since then (Unix seconds); None where there is none, or
        where it cannot be asked at all. Raises Refused, NotSent when it could not be asked just now.
        """
        ...
