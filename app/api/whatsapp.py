"""`/api/v1/whatsapp`: what members and keys send to users, and how far it has come."""

from __future__ import annotations

from typing import Any, Final

from app.api.platform import Platform
from app.api.services import ApiServices
from app.core.identity import Visitor
from app.core.whatsapp_api import NewInteractive, NewMedia, NewTemplate, NewText, Queued, SentMessage

ALL: Final = "/api/v1/whatsapp"
ONE: Final = f"{ALL}/messages/<message_id>"
TO: Final = {"to": "+919876543210"}
#: Every one is written down first, and answered before it has left.
SEND: Final[dict[str, Any]] = {"scope": "whatsapp:send", "status": 202}
ERRORS: Final = ("not_found", "conflict", "window_closed", "rate_limit_exceeded")
TEXT_EXAMPLE: Final = TO | {"text": "Your order is on its way."}
TEMPLATE_EXAMPLE: Final = TO | {"name": "order_update", "language": "en"}
MEDIA_EXAMPLE: Final = TO | {"kind": "image", "link": "https://example.com/a.jpg", "caption": "Your parcel"}
BUTTON: Final = {"type": "reply", "reply": {"id": "yes", "title": "Yes"}}
INTERACTIVE_EXAMPLE: Final = TO | {
    "interactive": {"type": "button", "body": {"text": "Is that right?"}, "action": {"buttons": [BUTTON]}}
}


def platform(services: ApiServices) -> Platform:
    api = Platform("whatsapp", services)
    desk = services.office.desk

    @api.add("POST", f"{ALL}/messages", **SEND, errors=ERRORS, example=TEXT_EXAMPLE)
    async def send_whatsapp_text(visitor: Visitor, body: NewText) -> Queued:
        """Send a text within 24 hours of the user's last message.

        A long one goes out in parts, in order. The bot is silent in the conversation from then on.
        """
        return await desk.send_text(visitor, body)

    @api.add("POST", f"{ALL}/template", **SEND, errors=(*ERRORS, "insufficient_credits"), example=TEMPLATE_EXAMPLE)
    async def send_whatsapp_template(visitor: Visitor, body: NewTemplate) -> Queued:
        """Send a template at any time, to anybody; 0.12 credits when it is delivered. The bot goes on answering."""
        return await desk.send_template(visitor, body)

    @api.add("POST", f"{ALL}/media", **SEND, errors=ERRORS, example=MEDIA_EXAMPLE)
    async def send_whatsapp_media(visitor: Visitor, body: NewMedia) -> Queued:
        """Send a file that the provider fetches, within 24 hours of the user's last message."""
        return await desk.send_media(visitor, body)

    @api.add("POST", f"{ALL}/interactive", **SEND, errors=ERRORS, example=INTERACTIVE_EXAMPLE)
    async def send_whatsapp_interactive(visitor: Visitor, body: NewInteractive) -> Queued:
        """Send buttons, a list or another of Meta's interactive messages within 24 hours of the user's last one."""
        return await desk.send_interactive(visitor, body)

    @api.add("GET", ONE, scope="whatsapp:read", or_scope="whatsapp:send")
    async def show_whatsapp_message(visitor: Visitor, message_id: str) -> SentMessage:
        """Show how far a message has come."""
        return await desk.show(visitor.tenant_id, message_id)

    @api.add("POST", f"{ONE}/resend", scope="whatsapp:send", least="admin", errors=("conflict", "window_closed"))
    async def resend_whatsapp_message(visitor: Visitor, message_id: str) -> SentMessage:
        """Send a message once more whose outcome is unknown. The user may get it twice."""
        return await desk.resend(visitor.tenant_id, message_id)

    return api
