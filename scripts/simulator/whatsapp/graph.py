"""The Graph API's mind: what it makes of each request, given the time. No sockets, no waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec

from scripts.simulator.whatsapp import limits
from scripts.simulator.whatsapp.errors import Refusal, meta_error
from scripts.simulator.whatsapp.exchange import Answer, Codes, decide
from scripts.simulator.whatsapp.faults import Occasion
from scripts.simulator.whatsapp.files import TYPES, UPLOADED_S, File, Files, kind_of, plain_type
from scripts.simulator.whatsapp.ids import Ids
from scripts.simulator.whatsapp.letters import FILES, NEEDS_PHONE, Letter, parameters, read_letter
from scripts.simulator.whatsapp.rules import INVALID, WRONG, Shape, Text, check
from scripts.simulator.whatsapp.state import Number

CODES: Final = Codes(throughput=130429, pair=131056, window=131047, failure=131000)
BODY_BYTES: Final = 256 * 1024
#: Template names that are refused, whatever the number has.
SPOILT: Final = {
    "policy": 132007,
    "paused": 132015,
    "disabled": 132016,
    "flow_blocked": 132068,
    "flow_throttled": 132069,
    "one_tap": NEEDS_PHONE,
}
_READ: Final = Shape(
    {
        "messaging_product": Text(among=("whatsapp",)),
        "status": Text(among=("read",)),
        "message_id": Text(),
        "typing_indicator": Shape({"type": Text(among=("text",))}, ("type",)),
    },
    ("messaging_product", "status", "message_id"),
)
_CALL: Final = Shape(
    {
        "messaging_product": Text(among=("whatsapp",)),
        "call_id": Text(),
        "action": Text(among=("pre_accept", "accept", "reject", "terminate", "connect")),
        "session": Shape({"sdp_type": Text(), "sdp": Text(65536)}),
    },
    ("messaging_product", "call_id", "action"),
)
_SHOWN: Final[Mapping[str, Callable[[Number], Any]]] = {
    "display_phone_number": lambda number: number.phone,
    "verified_name": lambda number: number.name,
    "throughput": lambda number: {"level": "HIGH" if number.per_second > 80 else "STANDARD"},
    "quality_rating": lambda number: "GREEN",
    "status": lambda number: "CONNECTED",
    "platform_type": lambda number: "CLOUD_API",
    "code_verification_status": lambda number: "VERIFIED",
    "whatsapp_business_manager_messaging_limit": lambda number: "TIER_250",
}
_SHOWN_UNASKED: Final = ("verified_name", "display_phone_number", "quality_rating")


class GraphState:
    """Answers for numbers of Meta; what it keeps is in the numbers and in `files`."""

    def __init__(self, files: Files, ids: Ids) -> None:
        self._files = files
        self._ids = ids

    def refused(self, code: int, details: str) -> Answer:
        status, payload = meta_error(code, details, self._ids.word()[:27])
        return Answer(status, payload)

    def send(self, now: float, number: Number, body: bytes | Mapping[str, Any]) -> Answer:
        """`POST /{phone_number_id}/messages`: a message, or read and typing; not counted when it is malformed."""
        try:
            fields = _json(body)
            if isinstance(fields, dict) and "status" in fields:
                return self.behaved(number, "read", partial(self._mark_read, now, number, fields))
            letter = read_letter(fields, number.phone)
            self._check_parts(now, number, letter)
        except Refusal as refusal:
            number.count("sends_malformed")
            return self.refused(refusal.code, refusal.details)
        sent, fault, delay_s, later = decide(now, number, letter, self._ids.wamid, CODES)
        if fault.manner == "refuse" or (sent.outcome == "refused" and fault.manner == "answer"):
            status, payload = meta_error(sent.code, "", self._ids.word()[:27])
            return Answer(status, payload, "answer", delay_s, later, sent)
        who = {"user_id": letter.user_id} if letter.user_id else {"wa_id": letter.phone.lstrip("+")}
        message = {"id": sent.id} | ({} if letter.free_form else {"message_status": "accepted"})
        good = {"messaging_product": "whatsapp", "contacts": [{"input": letter.input} | who], "messages": [message]}
        return Answer(200, good, fault.manner, delay_s, later, sent)

    def call(self, now: float, number: Number, body: bytes) -> Answer:
        """`POST /{phone_number_id}/calls`: the caller's phone is told."""
        try:
            fields = _json(body)
            check(_CALL, fields, "")
        except Refusal as refusal:
            return self.refused(refusal.code, refusal.details)
        caller = number.writer(fields["call_id"])
        if caller is None:
            return self.refused(WRONG, "call_id is not known")
        caller.receive({"at": now, "type": "call", "action": fields["action"], "call_id": fields["call_id"]})
        return Answer(200, {"messaging_product": "whatsapp", "success": True})

    def upload(self, now: float, number: Number, form: Mapping[str, bytes], media_type: str, name: str) -> Answer:
        """`POST /{phone_number_id}/media`; `media_type` and `name` are the file part's own."""
        if form.get("messaging_product") != b"whatsapp":
            return self.refused(INVALID, "(messaging_product) is required")
        if "file" not in form:
            return self.refused(INVALID, "(file) is required")
        declared = form.get("type", media_type.encode()).decode("latin-1")
        kind = kind_of(declared)
        most, types = TYPES[kind]
        if not declared or (types and plain_type(declared) not in types):
            return self.refused(INVALID, "Param file must be a file with one of the types that can be sent")
        if not form["file"] or len(form["file"]) > most:
            return self.refused(INVALID, f"Param file must have 1 to {most} bytes")
        number.count("uploads")
        until = now + UPLOADED_S
        file = self._files.put(File(self._ids.number(), number.account, form["file"], declared, name, until))
        return Answer(200, {"id": file.id})

    def look_up(self, now: float, number: Number, media_id: str, base_url: str) -> Answer:
        """`GET /{media_id}`: a link that lives five minutes."""
        file = self._files.get(media_id, now)
        if file is None or file.owner != number.account:
            return self.refused(INVALID, f"Object with ID {media_id!r} does not exist")
        number.count("look_ups")
        url = f"{base_url}/graph/files/{self._files.link(file, self._ids.word(), now)}"
        found = {"url": url, "mime_type": file.media_type, "sha256": file.hex_hash, "file_size": len(file.data)}
        return Answer(200, {"messaging_product": "whatsapp", **found, "id": file.id})

    def delete(self, now: float, number: Number, media_id: str) -> Answer:
        file = self._files.get(media_id, now)
        if file is None or file.owner != number.account:
            return self.refused(INVALID, f"Object with ID {media_id!r} does not exist")
        self._files.drop(media_id)
        return Answer(200, {"success": True})

    def show(self, number: Number, fields: str) -> Answer:
        """`GET /{phone_number_id}?fields=a,b`."""
        names = [name.strip() for name in fields.split(",")] if fields else list(_SHOWN_UNASKED)
        if strange := [name for name in names if name not in {*_SHOWN, "id"}]:
            return self.refused(INVALID, f"Tried accessing nonexisting field ({strange[0]})")
        number.count("checks")
        return Answer(200, {name: _SHOWN[name](number) for name in names if name != "id"} | {"id": number.account})

    def numbers(self, found: Sequence[Number], query: Mapping[str, str]) -> Answer:
        """`GET /{waba_id}/phone_numbers?limit=&after=`: the numbers of a business account, a page of them."""
        begin, size = query.get("after", "0"), query.get("limit", "25")
        if not (begin.isdecimal() and size.isdecimal() and int(size)):
            return self.refused(INVALID, "limit or after is none")
        end = int(begin) + int(size)
        page = [{name: _SHOWN[name](each) for name in _SHOWN_UNASKED} | {"id": each.account} for each in found]
        paging: dict[str, Any] = {"cursors": {"before": begin, "after": str(end)}}
        if end < len(page):
            paging["next"] = f"phone_numbers?after={end}"
        return Answer(200, {"data": page[int(begin) : end], "paging": paging})

    def behaved(self, number: Number, on: Occasion, decide: Callable[[], Answer]) -> Answer:
        """As decided, or what an order makes of it; `slow` only delays. For everything that is no message."""
        order = number.orders.take(on)
        if order is None:
            return decide()
        if order.fault == "slow":
            return replace(decide(), delay_s=order.delay_s)
        if order.what.manner in ("refuse", "answer"):
            status, payload = meta_error(order.code or CODES.failure, "", self._ids.word()[:27])
            return Answer(status, payload, "answer", order.delay_s)
        return Answer(200, None, order.what.manner, order.delay_s)

    def _mark_read(self, now: float, number: Number, fields: dict[str, Any]) -> Answer:
        check(_READ, fields, "")
        user = number.writer(fields["message_id"])
        if user is None:
            raise Refusal(INVALID, "message_id is no message of a user")
        number.count("reads")
        user.receive({"at": now, "type": "read", "message_id": fields["message_id"]})
        if "typing_indicator" in fields:
            number.count("typings")
            user.receive({"at": now, "type": "typing", "until": now + limits.TYPING_S})
        return Answer(200, {"success": True})

    def _check_parts(self, now: float, number: Number, letter: Letter) -> None:
        if letter.kind in FILES and "id" in letter.body:
            self._check_file(now, number, letter)
        if letter.kind == "template":
            _check_template(number, letter)

    def _check_file(self, now: float, number: Number, letter: Letter) -> None:
        file = self._files.get(letter.body["id"], now)
        if file is None or file.owner != number.account:
            raise Refusal(WRONG, f"{letter.kind}.id is not known")
        types = next(types for kind, (_, types) in TYPES.items() if kind == letter.kind)
        if types and plain_type(file.media_type) not in types:
            raise Refusal(131053, f"a file of type {file.media_type} cannot be sent as {letter.kind}")
        if letter.body.get("voice") and plain_type(file.media_type) != "audio/ogg":
            raise Refusal(131053, "a voice message is audio/ogg with OPUS")


def _check_template(number: Number, letter: Letter) -> None:
    name, language = letter.body["name"], letter.body["language"]["code"]
    if name in SPOILT and not (SPOILT[name] == NEEDS_PHONE and letter.phone):
        raise Refusal(SPOILT[name], f"template {name}")
    template = number.templates.get("hello_world" if name == "one_tap" else name)
    if template is None or language not in template.languages:
        raise Refusal(132001, f"template name ({name}) does not exist in {language}")
    given = parameters(letter.body)
    if len(given) != template.parameters:
        raise Refusal(132000, f"body: number of localizable_params ({len(given)}) is not {template.parameters}")
    if sum(map(len, given)) > 1024:
        raise Refusal(132005, "the translated text is too long")


def _json(body: bytes | Mapping[str, Any]) -> Any:
    if not isinstance(body, bytes):
        return dict(body)
    if len(body) > BODY_BYTES:
        raise Refusal(INVALID, "the body is too large")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Refusal(INVALID, "the body is no JSON") from problem
