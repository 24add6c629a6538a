"""Twilio's REST API over HTTP: Basic credentials, the account's numbers, and what `TwilioState` makes of it."""

from __future__ import annotations

from typing import Final

from scripts.simulator.script import Script
from scripts.simulator.whatsapp import twilio
from scripts.simulator.whatsapp.exchange import Answer
from scripts.simulator.whatsapp.files import File
from scripts.simulator.whatsapp.requests import Call, Route, basic, empty_script, file_or_fault, form, script_of
from scripts.simulator.whatsapp.state import Number

_ACCOUNT: Final = "/twilio/2010-04-01/Accounts/{sid}"
_MEDIA: Final = f"{_ACCOUNT}/Messages/{{message}}/Media/{{id}}"


def _opened(call: Call, numbers: list[Number]) -> list[Number] | Answer:
    """Those that the credentials open: the account's own, or an API key."""
    given = basic(call.request)
    pairs = {number.account: _pairs(number) for number in numbers}
    found = [number for number in numbers if not number.auth_token or given in pairs[number.account]]
    return found or twilio.refused(20003)


def _pairs(number: Number) -> set[tuple[str, str]]:
    keys = {(number.business, number.auth_token), (number.api_key_sid, number.api_key_secret)}
    return {(user, password) for user, password in keys if user and password}


def _numbers(call: Call) -> list[Number] | Answer:
    """The account's in the path; never an empty list."""
    every = [number for number in call.phones.numbers.values() if number.provider == "twilio"]
    numbers = [number for number in every if number.business == call.words["sid"]]
    return _opened(call, numbers) if numbers else twilio.refused(20003, "no such account")


async def _send(call: Call) -> Script:
    numbers = _numbers(call)
    if isinstance(numbers, Answer):
        return script_of(numbers)
    params = form(call.request)
    sender = dict(params).get("From", "").removeprefix(twilio.PREFIX)
    number = next((number for number in numbers if number.phone == sender), numbers[0])
    return script_of(call.phones.twilio_send(number, params))


async def _list(call: Call) -> Script:
    numbers = _numbers(call)
    if isinstance(numbers, Answer):
        return script_of(numbers)
    query = call.request.query
    sender = query.get("From", "").removeprefix(twilio.PREFIX)
    number = next((number for number in numbers if number.phone == sender), numbers[0])
    return script_of(twilio.listed(number, query))


async def _show(call: Call) -> Script:
    numbers = _numbers(call)
    if isinstance(numbers, Answer):
        return script_of(numbers)
    sid = call.words["name"].removesuffix(".json")
    for number in numbers:
        for sent in number.sends:
            if sent.id == sid and sent.outcome != "refused":
                return script_of(Answer(200, twilio.resource(number, sent)))
    return script_of(twilio.refused(20404))


async def _account(call: Call) -> Script:
    sid = call.words["name"].removesuffix(".json")
    numbers = _numbers(call._replace(words={"sid": sid}))
    if isinstance(numbers, Answer):
        return script_of(numbers)
    if order := numbers[0].orders.take("check"):
        return script_of(twilio.refused(order.code or 20003))
    numbers[0].count("checks")
    return script_of(twilio.account(numbers[0]))


async def _typing(call: Call) -> Script:
    numbers = _opened(call, [number for number in call.phones.numbers.values() if number.provider == "twilio"])
    if isinstance(numbers, Answer):
        return script_of(numbers)
    params = dict(form(call.request))
    wrote = [number for number in numbers if params.get("messageId", "") in number.writers]
    return script_of(call.phones.twilio.show_typing(call.now, (wrote or numbers)[0], params))


async def _media(call: Call) -> Script:
    """The file, or a redirect to where it lies."""
    found = _file(call)
    if isinstance(found, Answer):
        return script_of(found)
    number, file = found
    if not number.redirect_media:
        return file_or_fault(call, number, file)
    word = call.phones.files.link(file, call.phones.ids.word(), call.now)
    return empty_script(307, (("location", f"{call.base_url}/twilio/cdn/{word}"),))


async def _delete(call: Call) -> Script:
    found = _file(call)
    if isinstance(found, Answer):
        return script_of(found)
    call.phones.files.drop(found[1].id)
    return empty_script(204)


def _file(call: Call) -> tuple[Number, File] | Answer:
    numbers = _numbers(call)
    if isinstance(numbers, Answer):
        return numbers
    file = call.phones.files.get(call.words["id"], call.now)
    owners = [number for number in numbers if file is not None and number.account == file.owner]
    return (owners[0], file) if owners and file is not None else twilio.refused(20404)


async def _cdn(call: Call) -> Script:
    """Where a redirect leads: for five minutes, without credentials."""
    file = call.phones.files.linked(call.words["word"], call.now)
    return empty_script(404) if file is None else file_or_fault(call, call.phones.number(file.owner), file)


ROUTES: Final = (
    Route("POST", f"{_ACCOUNT}/Messages.json", _send),
    Route("GET", f"{_ACCOUNT}/Messages.json", _list),
    Route("GET", f"{_ACCOUNT}/Messages/{{name}}", _show),
    Route("GET", _MEDIA, _media),
    Route("DELETE", _MEDIA, _delete),
    Route("GET", "/twilio/2010-04-01/Accounts/{name}", _account),
    Route("GET", "/twilio/cdn/{word}", _cdn),
    Route("POST", "/twilio/v2/Indicators/Typing.json", _typing),
)
