"""Codes that the providers refuse with: HTTP status and title (wire/whatsapp-meta.md 12, 13; whatsapp-twilio.md 6)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Refusal(Exception):
    """A definite no with the provider's code; `details` is for people."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


class Row(NamedTuple):
    status: int
    title: str


META: Final[dict[int, Row]] = {
    0: Row(401, "AuthException"),
    1: Row(400, "API Unknown"),
    2: Row(503, "API Service"),
    3: Row(500, "API Method"),
    4: Row(400, "API Too Many Calls"),
    10: Row(403, "Permission Denied"),
    33: Row(400, "Parameter value is not valid"),
    100: Row(400, "Invalid parameter"),
    190: Row(401, "Access token has expired"),
    200: Row(403, "API Permission"),
    368: Row(403, "Temporarily blocked for policies violations"),
    80007: Row(400, "Rate limit issues"),
    130429: Row(400, "Rate limit hit"),
    130472: Row(400, "User's number is part of an experiment"),
    130497: Row(403, "Business account is restricted from messaging users in this country"),
    131000: Row(500, "Something went wrong"),
    131005: Row(403, "Access denied"),
    131008: Row(400, "Required parameter is missing"),
    131009: Row(400, "Parameter value is not valid"),
    131016: Row(500, "Service unavailable"),
    131021: Row(400, "Recipient cannot be sender"),
    131026: Row(400, "Message undeliverable"),
    131030: Row(400, "Recipient phone number not in allowed list"),
    131031: Row(403, "Account has been locked"),
    131037: Row(400, "Display name approval needed"),
    131042: Row(400, "Business eligibility payment issue"),
    131045: Row(500, "Incorrect certificate"),
    131047: Row(400, "Re-engagement message"),
    131048: Row(400, "Spam rate limit hit"),
    131049: Row(400, "Meta chose not to deliver"),
    131050: Row(400, "User stopped marketing messages"),
    131051: Row(400, "Unsupported message type"),
    131052: Row(400, "Media download error"),
    131053: Row(400, "Media upload error"),
    131055: Row(400, "Method not allowed"),
    131056: Row(400, "Pair rate limit hit"),
    131057: Row(500, "Account in maintenance mode"),
    131062: Row(400, "Recipient identifier is not supported for this message"),
    132000: Row(400, "Template param count mismatch"),
    132001: Row(404, "Template does not exist"),
    132005: Row(400, "Template hydrated text too long"),
    132007: Row(400, "Template format character policy violated"),
    132012: Row(400, "Template parameter format mismatch"),
    132015: Row(400, "Template is paused"),
    132016: Row(400, "Template is disabled"),
    132068: Row(400, "Flow is blocked"),
    132069: Row(400, "Flow is throttled"),
    133000: Row(500, "Incomplete deregistration"),
    133004: Row(503, "Server temporarily unavailable"),
    133010: Row(400, "Phone number not registered"),
    133015: Row(400, "Phone number is being deleted"),
    133016: Row(400, "Account register deregister rate limit exceeded"),
    134011: Row(400, "Payments terms of service not accepted"),
    134100: Row(400, "Only marketing messages are supported"),
    134101: Row(400, "Template is syncing"),
    134102: Row(500, "Template is unavailable"),
    135000: Row(400, "Generic user error"),
}

TWILIO: Final[dict[int, Row]] = {
    20003: Row(401, "Authenticate"),
    20404: Row(404, "The requested resource was not found"),
    20429: Row(429, "Too Many Requests"),
    21211: Row(400, "Invalid 'To' Phone Number"),
    21610: Row(400, "Attempt to send to unsubscribed recipient"),
    21614: Row(400, "'To' number is not a valid mobile number"),
    21617: Row(400, "The concatenated message body exceeds the 1600 character limit"),
    21619: Row(400, "A text message body or media urls must be specified"),
    21655: Row(400, "The ContentSid is invalid"),
    21656: Row(400, "The ContentVariables are invalid"),
    21658: Row(400, "Message body exceeds the limit of the channel"),
    63007: Row(400, "Could not find a Channel with the specified From address"),
    63016: Row(400, "Failed to send freeform message because you are outside the allowed window"),
    63018: Row(400, "Rate limit exceeded for Channel"),
    63019: Row(400, "Media failed to download"),
    63021: Row(400, "Channel invalid content error"),
    63024: Row(400, "Invalid message recipient"),
    63049: Row(400, "Meta chose not to deliver this WhatsApp marketing message"),
}


def meta_error(code: int, details: str, trace: str) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the body of section 12; a code that is in no table is a 400."""
    status, title = META.get(code, Row(400, "Unknown"))
    error: dict[str, Any] = {"message": f"(#{code}) {title}", "type": "OAuthException", "code": code}
    error["error_data"] = {"messaging_product": "whatsapp", "details": details or title}
    return status, {"error": error | {"fbtrace_id": trace}}


def meta_status_error(code: int, details: str) -> dict[str, Any]:
    """One of `statuses[].errors`."""
    title = META.get(code, Row(400, "Unknown")).title
    href = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"
    return {
        **{"code": code, "title": title, "message": title},
        **{"error_data": {"details": details or title}, "href": href},
    }


def twilio_error(code: int, details: str) -> tuple[int, dict[str, Any]]:
    status, title = TWILIO.get(code, Row(400, "Error"))
    more = f"https://www.twilio.com/docs/errors/{code}"
    return status, {"code": code, "message": details or title, "more_info": more, "status": status}
