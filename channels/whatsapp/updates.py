"""What can happen on a WhatsApp number, whoever tells it: one set of facts for Meta and Twilio.

Times are Unix seconds as the provider gave them, 0 if it gave none. Whatever the provider did not say is "" or None.
These objects are what the inbox keeps (as JSON), so a field is only ever added, with a default.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

#: What a message is. `voice` was recorded there and then, `audio` is a file; `button` is a tap on one, however made.
MessageKind = Literal[
    "text",
    "image",
    "voice",
    "audio",
    "video",
    "document",
    "sticker",
    "location",
    "contacts",
    "button",
    "list",
    "flow",
    "order",
    "welcome",
    "unsupported",
]
StatusName = Literal["accepted", "sent", "delivered", "read", "played", "failed"]
#: No wait for more: the user has made a choice.
CHOICES: Final = frozenset({"button", "list", "flow", "welcome"})


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """A user of WhatsApp. `phone` is +E.164 and may be unknown; `user_id` is the BSUID; `parent_id` its parent form."""

    phone: str = ""
    user_id: str = ""
    parent_id: str = ""
    name: str = ""

    @property
    def aliases(self) -> tuple[str, ...]:
        """What the person is known by, the surest first."""
        known = (("u:", self.user_id), ("p:", self.phone), ("o:", self.parent_id))
        return tuple(prefix + value for prefix, value in known if value)


class Media(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of a message. `sha256` is hex. `id` is Meta's media id; at Twilio the URL is all there is."""

    id: str = ""
    media_type: str = ""
    sha256: str = ""
    url: str = ""
    name: str = ""


class Message(msgspec.Struct, frozen=True, omit_defaults=True, tag="message"):
    """A user has written. `text` is what can be read of it: the body, a caption, the title of a choice, or a line that
    says what a location, contact or order is. `details` holds the rest as the provider gave it.
    """

    id: str
    at: int
    sender: Person
    kind: MessageKind
    text: str = ""
    media: Media | None = None
    #: The provider id of the message that this one answers.
    reply_to: str = ""
    #: Of the tapped button or row.
    choice_id: str = ""
    #: Headline and body of the ad that led here.
    referral: str = ""
    #: Another handler owns the thread: never answered.
    standby: bool = False
    details: dict[str, Any] = {}


class ToMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a user does to a message, theirs or ours: `target_id` is its provider id."""

    id: str
    at: int
    sender: Person
    target_id: str


class Reaction(ToMessage, frozen=True, omit_defaults=True, tag="reaction"):
    """`emoji` "" takes one back."""

    emoji: str = ""


class Edit(ToMessage, frozen=True, omit_defaults=True, tag="edit"):
    """The user has changed a message."""

    text: str = ""


class Revoke(ToMessage, frozen=True, omit_defaults=True, tag="revoke"):
    """The user has deleted a message."""


class Status(msgspec.Struct, frozen=True, omit_defaults=True, tag="status"):
    """How far one of ours has come. `reference` is the id of the send that we gave the provider to hand back."""

    provider_id: str
    status: StatusName
    at: int
    recipient: Person
    reference: str = ""
    error_code: str = ""
    error: str = ""


class Echo(msgspec.Struct, frozen=True, omit_defaults=True, tag="echo"):
    """A person has written to the user from the business's own phone app."""

    id: str
    at: int
    to: Person
    kind: str
    text: str = ""


class Identity(msgspec.Struct, frozen=True, omit_defaults=True, tag="identity"):
    """`old` is known as `new` from now on; with no `old` only that something about the user has changed."""

    id: str
    at: int
    new: Person
    old: Person = Person()


class Call(msgspec.Struct, frozen=True, omit_defaults=True, tag="call"):
    """A call on WhatsApp. `event` is connect, terminate or what else the provider says."""

    id: str
    at: int
    caller: Person
    event: str


class Notice(msgspec.Struct, frozen=True, omit_defaults=True, tag="notice"):
    """Anything else that is kept and needs no answer: account news, template reviews, errors, what we do not know."""

    field: str
    value: dict[str, Any]
    at: int = 0


Update = Message | Reaction | Edit | Revoke | Status | Echo | Identity | Call | Notice


class Arrival(msgspec.Struct, frozen=True):
    """One update, for the number whose `account` it came for. `key` is the same however often it is told.

    Meta tells some news of a whole business account only: then `account` is "" and `business` the id of that.
    """

    account: str
    key: str
    update: Update
    business: str = ""


class Broken(msgspec.Struct, frozen=True):
    """A part of a good request that cannot be read: a dead letter. `body` is that part as JSON text."""

    account: str
    reason: str
    body: str
