"""The simulator's own routes for WhatsApp: connect a number, speak as a user, look at a phone, order faults."""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar

import msgspec
import trio

from scripts.simulator.script import Script, json_script
from scripts.simulator.whatsapp.faults import FAULTS, Occasion, Order
from scripts.simulator.whatsapp.phones import Unknown
from scripts.simulator.whatsapp.requests import Call, Route
from scripts.simulator.whatsapp.sayings import Saying, Shape, Who
from scripts.simulator.whatsapp.state import TEMPLATES, Number, NumberSettings, Pace, Template

LONGEST_WAIT_S: Final = 120.0
T = TypeVar("T")


class Bad(ValueError):
    """The request of a desk cannot be followed; the text says why."""


class _Fields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whatever is asked for by name only."""


class Connecting(NumberSettings, kw_only=True):
    """`verify`: ask the callback URL Meta's question at once. `account` of a Twilio number is its phone."""

    account: str = ""
    business: str = ""
    account_sid: str = ""
    templates: dict[str, Template] = msgspec.field(default_factory=dict)
    refusals: Literal["reply", "status", "both"] | None = None
    verify: bool = False


class Talking(_Fields):
    account: str
    who: Who = msgspec.field(name="from", default_factory=Who)
    messages: list[Saying] = []


class Speaking(_Fields):
    """One talk, or several in `says`. `wait_s`: answer once each body was posted, at the latest after so long."""

    account: str = ""
    who: Who = msgspec.field(name="from", default_factory=Who)
    messages: list[Saying] = []
    says: list[Talking] = []
    shape: Shape = msgspec.field(default_factory=Shape)
    raw: str = ""
    wait_s: float = 0.0


class Ordering(_Fields):
    """`next` requests with this fault; `clear` forgets earlier orders; `pace` replaces how statuses come, all of it."""

    account: str
    fault: str = ""
    code: int = 0
    next: int = 1
    skip: int = 0
    delay_s: float = 0.0
    on: Occasion = "send"
    to: str = ""
    clear: bool = False
    pace: Pace | None = None
    refusals: Literal["reply", "status", "both"] | None = None
    per_second: float = 0.0
    redirect_media: bool | None = None


class Advancing(_Fields):
    advance_s: float = 0.0


async def _connect(call: Call) -> Script:
    asked = _read(call, Connecting)
    meta = asked.provider == "meta"
    settings = {name: getattr(asked, name) for name in NumberSettings.__struct_fields__}
    number = Number(
        account=asked.account or ("" if meta else asked.phone),
        business=asked.business or asked.account_sid,
        templates=TEMPLATES | asked.templates,
        refusals=asked.refusals or ("reply" if meta else "status"),
        **settings,
    )
    if not number.account or not number.phone.startswith("+") or number.per_second <= 0:
        raise Bad("a number has an account, a phone that begins with +, and a per_second above 0")
    call.phones.connect(number)
    verified = await call.phones.verify(number) if asked.verify else None
    return json_script(_shown(number) | {"verified": verified})


async def _list(call: Call) -> Script:
    return json_script({"numbers": [_shown(number) for number in call.phones.numbers.values()]})


def _shown(number: Number) -> dict[str, Any]:
    """Without secrets."""
    names = ("provider", "account", "business", "phone", "name", "callback_url", "per_second", "refusals")
    return {name: getattr(number, name) for name in names}


async def _say(call: Call) -> Script:
    asked = _read(call, Speaking)
    if asked.raw:
        ids = list[str]()
        parcels = call.phones.post_raw(call.phones.number(asked.account), asked.raw.encode(), asked.shape)
    else:
        talks = [*([Talking(account=asked.account, who=asked.who, messages=asked.messages)] if asked.account else [])]
        talks += asked.says
        spoken = [(call.phones.number(talk.account), talk.who, talk.messages) for talk in talks]
        if not all(who.phone or who.user_id for _, who, _ in spoken):
            raise Bad("`from` has a phone or a user_id")
        ids, parcels = call.phones.say(spoken, asked.shape)
    with trio.move_on_after(min(asked.wait_s, LONGEST_WAIT_S)):
        for parcel in parcels:
            await parcel.tried.wait()
    return json_script({"ids": ids, "posts": [parcel.posted for parcel in parcels]})


async def _phone(call: Call) -> Script:
    query = call.request.query
    number = call.phones.number(query.get("account", ""))
    phone, user_id = query.get("phone", "").replace(" ", "+"), query.get("user_id", "")
    if not (phone or user_id):
        raise Bad("whose phone? give phone or user_id")
    after, wait_s = int(_figure(query, "after")), min(_figure(query, "wait"), LONGEST_WAIT_S)
    items = await call.phones.received(number, phone, user_id, after, wait_s)
    user = number.user(phone, user_id)
    return json_script({"items": items, "received": user.received, "window_until": user.window_until, "now": call.now})


async def _file(call: Call) -> Script:
    """Any file that is kept, as the phone would show it."""
    file = call.phones.files.get(call.request.query.get("id", ""), call.now)
    if file is None:
        raise Unknown("no such file")
    about = {"media_type": file.media_type, "name": file.name, "sha256": file.hex_hash, "bytes": len(file.data)}
    return json_script(about | {"data": b64encode(file.data).decode()})


async def _faults(call: Call) -> Script:
    asked = _read(call, Ordering)
    number = call.phones.number(asked.account)
    if asked.clear:
        number.orders.waiting.clear()
    if asked.fault:
        if asked.fault not in FAULTS or asked.next < 1 or asked.skip < 0 or asked.delay_s < 0:
            raise Bad(f"the faults are {', '.join(FAULTS)}; next counts from 1, skip and delay_s from 0")
        names = (asked.code, asked.next, asked.skip, asked.delay_s, asked.on, asked.to)
        number.orders.waiting.append(Order(asked.fault, *names))
    if asked.pace is not None:
        number.pace = asked.pace
    number.refusals = asked.refusals or number.refusals
    number.per_second = asked.per_second or number.per_second
    number.redirect_media = number.redirect_media if asked.redirect_media is None else asked.redirect_media
    return json_script({"waiting": number.orders.waiting, "pace": number.pace, "refusals": number.refusals})


async def _book(call: Call) -> Script:
    query = call.request.query
    wanted = query.get("account")
    numbers = [call.phones.number(wanted)] if wanted else [*call.phones.numbers.values()]
    since = int(_figure(query, "since"))
    return json_script({"now": call.now, "numbers": [_account(number, since) for number in numbers]})


def _account(number: Number, since: int) -> dict[str, Any]:
    """All that went either way; entries from `since` on, each list by its own n."""
    kept: dict[str, deque[Any]] = {"sends": number.sends, "said": number.said, "posts": number.posted}
    entries = {name: [entry for entry in rows if entry.n > since] for name, rows in kept.items()}
    return {"account": number.account, "provider": number.provider, "counts": dict(number.counts), **entries}


async def _clock(call: Call) -> Script:
    call.phones.timeline.advance(_read(call, Advancing).advance_s)
    return json_script({"now": call.now})


def _read(call: Call, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(call.request.body, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise Bad(str(problem)) from problem


def _figure(query: dict[str, str], name: str) -> float:
    try:
        return max(0.0, float(query.get(name, "0")))
    except ValueError:
        raise Bad(f"{name} is a number") from None


def _careful(answer: Callable[[Call], Awaitable[Script]]) -> Callable[[Call], Awaitable[Script]]:
    async def careful(call: Call) -> Script:
        try:
            return await answer(call)
        except Unknown as problem:
            return json_script({"error": str(problem)}, 404)
        except ValueError as problem:
            return json_script({"error": str(problem)}, 400)

    return careful


ROUTES: Final = tuple(
    Route(method, path, _careful(answer))
    for method, path, answer in (
        ("POST", "/whatsapp/numbers", _connect),
        ("GET", "/whatsapp/numbers", _list),
        ("POST", "/whatsapp/say", _say),
        ("GET", "/whatsapp/phone", _phone),
        ("GET", "/whatsapp/file", _file),
        ("POST", "/whatsapp/faults", _faults),
        ("GET", "/whatsapp/book", _book),
        ("POST", "/whatsapp/clock", _clock),
    )
)
