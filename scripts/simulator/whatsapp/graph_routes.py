"""The Graph API over HTTP: whose token it is, which number is meant, and what `GraphState` makes of it."""

from __future__ import annotations

from functools import partial
from typing import Final

from scripts.simulator.script import Script
from scripts.simulator.whatsapp.exchange import Answer
from scripts.simulator.whatsapp.requests import Call, Route, bearer, empty_script, file_or_fault, multipart, script_of
from scripts.simulator.whatsapp.state import Number

_BASE: Final = "/graph/{version}/{id}"
BAD_TOKEN: Final = 190
NO_PERMISSION: Final = 10
NO_NUMBER: Final = 33


def _number(call: Call, account: str) -> Number | Answer:
    """The number, if the token opens it."""
    number, token = call.phones.numbers.get(account), bearer(call.request)
    if number is None or number.provider != "meta":
        return call.phones.graph.refused(NO_NUMBER, f"Object with ID {account!r} does not exist")
    if not number.token or token == number.token:
        return number
    known = token and any(token == other.token for other in call.phones.numbers.values())
    return call.phones.graph.refused(
        NO_PERMISSION if known else BAD_TOKEN, "the access token does not open this number"
    )


async def _messages(call: Call) -> Script:
    number = _number(call, call.words["id"])
    if isinstance(number, Answer):
        return script_of(number)
    return script_of(call.phones.graph_send(number, call.request.body))


async def _calls(call: Call) -> Script:
    number = _number(call, call.words["id"])
    if isinstance(number, Answer):
        return script_of(number)
    return script_of(call.phones.graph.call(call.now, number, call.request.body))


async def _upload(call: Call) -> Script:
    number = _number(call, call.words["id"])
    if isinstance(number, Answer):
        return script_of(number)
    parts = multipart(call.request)
    form = {name: part.data for name, part in parts.items()}
    media_type, name = (parts["file"].media_type, parts["file"].filename) if "file" in parts else ("", "")
    upload = partial(call.phones.graph.upload, call.now, number, form, media_type, name)
    return script_of(call.phones.graph.behaved(number, "upload", upload))


async def _look(call: Call) -> Script:
    """A number, or a file of the number whose token it is."""
    if call.words["id"] in call.phones.numbers:
        number = _number(call, call.words["id"])
        if isinstance(number, Answer):
            return script_of(number)
        fields = call.request.query.get("fields", "")
        show = partial(call.phones.graph.show, number, fields)
        return script_of(call.phones.graph.behaved(number, "check", show))
    owner = _owner(call)
    if isinstance(owner, Answer):
        return script_of(owner)
    look_up = partial(call.phones.graph.look_up, call.now, owner, call.words["id"], call.base_url)
    return script_of(call.phones.graph.behaved(owner, "look_up", look_up))


async def _business(call: Call) -> Script:
    """The numbers of a business account, with the token of one of them."""
    graph, business = call.phones.graph, call.words["id"]
    found = [each for each in call.phones.numbers.values() if each.provider == "meta" and each.business == business]
    token = bearer(call.request)
    opened = next((each for each in found if not each.token or each.token == token), None)
    if opened is None:
        return script_of(graph.refused(100, f"Object with ID {business!r} does not exist, or you may not see it"))
    return script_of(graph.behaved(opened, "business", partial(graph.numbers, found, call.request.query)))


async def _delete(call: Call) -> Script:
    owner = _owner(call)
    if isinstance(owner, Answer):
        return script_of(owner)
    return script_of(call.phones.graph.delete(call.now, owner, call.words["id"]))


def _owner(call: Call) -> Number | Answer:
    """Of the file in the path, if the token and the number in the query are right."""
    file = call.phones.files.get(call.words["id"], call.now)
    if file is None:
        return call.phones.graph.refused(100, f"Object with ID {call.words['id']!r} does not exist")
    if call.request.query.get("phone_number_id", file.owner) != file.owner:
        return call.phones.graph.refused(100, "the file is not of this phone_number_id")
    return _number(call, file.owner)


async def _file(call: Call) -> Script:
    """A link to a file: with the token of its number, for five minutes; else 401 or 404 without a word."""
    file = call.phones.files.linked(call.words["word"], call.now)
    if file is None:
        return empty_script(404)
    number = _number(call, file.owner)
    if isinstance(number, Answer):
        return empty_script(401)
    return file_or_fault(call, number, file)


ROUTES: Final = (
    Route("POST", f"{_BASE}/messages", _messages),
    Route("POST", f"{_BASE}/media", _upload),
    Route("POST", f"{_BASE}/calls", _calls),
    Route("GET", f"{_BASE}/phone_numbers", _business),
    Route("GET", "/graph/files/{word}", _file),
    Route("GET", _BASE, _look),
    Route("DELETE", _BASE, _delete),
)
