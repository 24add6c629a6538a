"""A letter as Twilio's Messages resource takes it (wire/whatsapp-twilio.md section 4). Pure."""

from __future__ import annotations

from typing import assert_never

import msgspec

from app.providers.whatsapp.choices import numbered
from app.providers.whatsapp.letters import checked_media, encoded, unsendable
from app.providers.whatsapp.line import (
    ChoiceContent,
    Content,
    InteractiveContent,
    MediaContent,
    ReactionContent,
    Recipient,
    Refused,
    TemplateContent,
    TextContent,
)

Fields = list[tuple[str, str]]


def address(to: Recipient) -> str:
    """`whatsapp:+E.164`, or the BSUID in its place. Raises Refused for nobody."""
    if to.phone:
        return f"whatsapp:+{to.phone.removeprefix('+')}"
    if to.user_id:
        return f"whatsapp:{to.user_id}"
    raise Refused("recipient", "no_recipient", "Nothing is known of this user that a message could be sent to.")


def fields(content: Content) -> Fields:
    """What is sent, without whom it goes to. Raises Refused for what Twilio cannot carry."""
    match content:
        case TextContent(body):
            return [("Body", body)]
        case ChoiceContent():
            return [("Body", numbered(content))]
        case MediaContent(link=link, caption=caption):
            checked_media(content)
            if not link:
                raise unsendable("no_link", "Twilio takes a file as a public link only, not as an upload.")
            return [("MediaUrl", link), *([("Body", caption)] if caption else [])]
        case TemplateContent(name, variables=variables):
            written = encoded(lambda: msgspec.json.encode(variables)).decode()
            return [("ContentSid", name), *([("ContentVariables", written)] if variables else [])]
        case InteractiveContent():
            raise unsendable(
                "interactive", "Twilio takes interactive messages as stored content only: send a template."
            )
        case ReactionContent():
            raise unsendable("reaction", "Twilio cannot send a reaction.")
    assert_never(content)


def listed_as(content: Content) -> list[tuple[str, bool]]:
    """The `body` under which Twilio lists it, and whether with a file, in each way in which it may have gone out; none
    for a stored template, whose words nobody here knows. A file of ours need not have its link yet.
    """
    match content:
        case TemplateContent():
            return []
        case MediaContent(caption=caption, otherwise=otherwise):
            return [(caption, True), *([(otherwise, False)] if otherwise else [])]
    return [(dict(fields(content)).get("Body", ""), False)]
