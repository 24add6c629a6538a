"""Twilio's mind: what it makes of each request, given the time (wire/whatsapp-twilio.md 4, 6, 7). No sockets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from email.utils import format_datetime
from typing import Any, Final

import msgspec

from scripts.simulator.whatsapp import limits
from scripts.simulator.whatsapp.errors import Refusal, twilio_error
from scripts.simulator.whatsapp.exchange import Answer, Codes, decide
from scripts.simulator.whatsapp.ids import Ids
from scripts.simulator.whatsapp.letters import Letter
from scripts.simulator.whatsapp.state import Number, Sent

CODES: Final = Codes(throughput=20429, pair=63018, window=63016, failure=63024, pair_in_reply=False)
LONGEST_BODY: Final = 1600
PREFIX: Final = "whatsapp:"
_PHONE: Final = re.compile(r"\+[1-9]\d{6,17}")
_BSUID: Final = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")


class TwilioState:
    """Answers for numbers of Twilio; what it keeps is in the numbers."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def send(self, now: float, number: Number, params: Sequence[tuple[str, str]]) -> Answer:
        """`POST Messages.json`: the whole message resource, or Twilio's error."""
        try:
            letter = _letter(number, dict(params), [value for name, value in params if name == "MediaUrl"])
        except Refusal as refusal:
            number.count("sends_malformed")
            return refused(refusal.code, refusal.details)
        sent, fault, delay_s, later = decide(now, number, letter, lambda to: self._ids.sid("SM"), CODES)
        if fault.manner == "refuse" or (sent.outcome == "refused" and fault.manner == "answer"):
            status, payload = twilio_error(sent.code, "")
            return Answer(status, payload, "answer", delay_s, later, sent)
        return Answer(201, resource(number, sent, first=True), fault.manner, delay_s, later, sent)

    def show_typing(self, now: float, number: Number, params: Mapping[str, str]) -> Answer:
        """`POST /v2/Indicators/Typing.json`: marks as read too."""
        user = number.writer(params.get("messageId", ""))
        if params.get("channel") != "whatsapp" or user is None:
            return refused(20404, "no such message")
        number.count("typings")
        user.receive({"at": now, "type": "read", "message_id": params["messageId"]})
        user.receive({"at": now, "type": "typing", "until": now + limits.TYPING_S})
        return Answer(200, {"success": True})


def refused(code: int, details: str = "") -> Answer:
    status, payload = twilio_error(code, details)
    return Answer(status, payload)


def resource(number: Number, sent: Sent, *, first: bool = False) -> dict[str, Any]:
    """A message as the API shows it; `first`: just taken."""
    uri = f"/2010-04-01/Accounts/{number.business}/Messages/{sent.id}"
    status = "queued" if first or not sent.statuses else _furthest(sent)
    code = sent.code if status == "failed" else 0
    written = format_datetime(datetime.fromtimestamp(sent.at, UTC))
    return {
        **{"sid": sent.id, "account_sid": number.business, "api_version": "2010-04-01", "direction": "outbound-api"},
        **{"body": sent.text, "from": PREFIX + number.phone, "to": PREFIX + (sent.to or sent.user_id)},
        **{"status": status, "error_code": code or None, "error_message": twilio_error(code, "")[1]["message"]},
        **{"date_created": written, "date_updated": written, "date_sent": None if first else written},
        **{"num_segments": "1", "num_media": str(len(sent.body.get("links", ()))), "messaging_service_sid": None},
        **{"price": None, "price_unit": None, "uri": f"{uri}.json"},
        "subresource_uris": {"media": f"{uri}/Media.json"},
    }


def listed(number: Number, query: Mapping[str, str]) -> Answer:
    """`GET Messages.json?To=&From=&DateSent>=`: the newest first, one page."""
    try:
        since = next((date.fromisoformat(v[:10]) for k, v in query.items() if k.rstrip("=") == "DateSent>"), date.min)
        size = min(1000, max(1, int(query.get("PageSize", "50"))))
    except ValueError:
        return refused(20404, "a bad date or page size")
    number.count("lists")
    found = [
        resource(number, sent)
        for sent in reversed(number.sends)
        if sent.outcome != "refused"
        and query.get("To", "") in ("", PREFIX + sent.to, PREFIX + sent.user_id)
        and query.get("From", "") in ("", PREFIX + number.phone)
        and datetime.fromtimestamp(sent.at, UTC).date() >= since
    ]
    uri = f"/2010-04-01/Accounts/{number.business}/Messages.json"
    page = {"page": 0, "page_size": size, "uri": uri, "first_page_uri": uri, "next_page_uri": None}
    return Answer(200, {"messages": found[:size], **page, "previous_page_uri": None, "start": 0, "end": len(found) - 1})


def account(number: Number) -> Answer:
    """`GET Accounts/{sid}.json`."""
    named = {"sid": number.business, "friendly_name": number.name, "status": "active", "type": "Full"}
    return Answer(200, {**named, "uri": f"/2010-04-01/Accounts/{number.business}.json"})


def _furthest(sent: Sent) -> str:
    order = ("sent", "delivered", "read", "played", "failed")
    return max((name for _, name in sent.statuses), key=order.index)


def _letter(number: Number, params: dict[str, str], links: list[str]) -> Letter:
    """Raises `Refusal` with Twilio's code."""
    if params.get("From") != PREFIX + number.phone:
        raise Refusal(63007, "From is no sender of this account")
    to = params.get("To", "").removeprefix(PREFIX)
    phone, user_id = (to, "") if _PHONE.fullmatch(to) else ("", to)
    if not params.get("To", "").startswith(PREFIX) or not (phone or _BSUID.fullmatch(user_id)):
        raise Refusal(21211, f"The 'To' number {params.get('To', '')!r} is not a valid phone number")
    body, content = params.get("Body", ""), params.get("ContentSid", "")
    if len(body) > LONGEST_BODY:
        raise Refusal(21617, "")
    if not (body or links or content):
        raise Refusal(21619, "")
    callback = params.get("StatusCallback", "")
    ends = (callback.rpartition("/")[2], "", callback)  # there is no reference but the end of the callback's path
    if content:
        variables = _variables(number, content, params.get("ContentVariables", "{}"))
        text = " ".join([f"[template {content}]", *variables.values()])
        return Letter(phone, user_id, to, "template", {"name": content, "variables": variables}, text, *ends)
    if len(links) > 1:
        raise Refusal(63021, "WhatsApp takes one file a message")
    kind = "media" if links else "text"
    return Letter(phone, user_id, to, kind, {"body": body, "links": links}, body, *ends)


def _variables(number: Number, content: str, text: str) -> dict[str, str]:
    if not re.fullmatch(r"HX[0-9a-f]{32}", content) or (number.contents and content not in number.contents):
        raise Refusal(21655, "")
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.DecodeError, msgspec.ValidationError) as problem:
        raise Refusal(21656, "ContentVariables must be a JSON object of strings") from problem
