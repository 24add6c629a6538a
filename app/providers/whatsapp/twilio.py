"""A WhatsApp number at Twilio: its Messages resource, its media, its typing indicator (wire/whatsapp-twilio.md)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import structlog

from app.providers.dialect import Outgoing
from app.providers.upstream import Upstream
from app.providers.whatsapp.exchange import USER_AGENT, VISIBLE, Answer, Headers, exchange, harmless, raised
from app.providers.whatsapp.letters import encoded, intimate, unsendable
from app.providers.whatsapp.line import (
    Checked,
    File,
    FileWanted,
    Letter,
    MediaUnavailable,
    NotSent,
    OutcomeUnknown,
    Recipient,
    Refused,
    Sent,
    Undelivered,
)
from app.providers.whatsapp.media import Downloads, Gone, checked, in_time
from app.providers.whatsapp.twilio_errors import failure
from app.providers.whatsapp.twilio_payloads import Fields, address, fields, listed_as

log = structlog.get_logger(__name__)
#: How many of the newest messages to one user are looked through.
LISTED: Final = 50
LIST_CAP: Final = 1024 * 1024
#: As a listed message says that nobody will get it.
NOT_DELIVERED: Final = frozenset({"failed", "undelivered", "canceled"})


@dataclass(frozen=True, slots=True)
class Account:
    """Who speaks: an API key is preferred where there is one, the auth token is the account's own."""

    sid: str
    auth_token: str = field(default="", repr=False)
    key_sid: str = ""
    key_secret: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, str]:
        return self.auth_token, self.key_secret

    @property
    def signs(self) -> tuple[str, str]:
        """(user, password) for everything but the account itself, which a key may not look at."""
        return (self.key_sid, self.key_secret) if self.key_secret else (self.sid, self.auth_token)


class TwilioLine:
    """One number. `status_callback` gives the URL that is told how the letter with a reference fares, "" for none."""

    def __init__(
        self,
        upstream: Upstream,
        messaging_upstream: Upstream,
        downloads: Downloads,
        *,
        account: Account,
        from_number: str,
        status_callback: Callable[[str], str],
    ) -> None:
        self._upstream = upstream
        self._messaging = messaging_upstream
        self._downloads = downloads
        self._account = account
        self._path = f"/2010-04-01/Accounts/{quote(account.sid, safe='')}"
        self._from = address(Recipient(from_number))
        self._status_callback = status_callback

    async def send(self, letter: Letter) -> Sent:
        """Raises Refused, NotSent, OutcomeUnknown."""
        form = [("From", self._from), ("To", address(letter.to)), *fields(letter.content)]
        if callback := self._status_callback(letter.reference):
            form.append(("StatusCallback", callback))
        answer = await exchange(self._upstream, self._form(f"{self._path}/Messages.json", form))
        if answer.good and answer.text("sid") and answer.get("error_code") is None:
            return Sent(answer.text("sid"))
        raise failure(answer, self._account.secrets, intimate(letter))

    async def show_typing(self, message_id: str) -> None:
        """Marks the message as read, too."""
        form = [("messageId", message_id), ("channel", "whatsapp")]
        try:
            answer = await harmless(self._messaging, self._form("/v2/Indicators/Typing.json", form))
            if not answer.good:
                log.info("whatsapp.typing_failed", provider="twilio", error=str(self._failure(answer)))
        except (Refused, NotSent) as error:
            log.info("whatsapp.typing_failed", provider="twilio", error=str(error))

    async def fetch(self, wanted: FileWanted, cap: int) -> File:
        """From the API's own host. What is not there is asked for once more."""

        async def fetch() -> File:
            credentials = (self._authorization(),)
            try:
                loaded = await self._downloads.get(wanted.url, credentials, cap)
            except Gone:
                loaded = await self._downloads.get(wanted.url, credentials, cap)
            declared = wanted.media_type or loaded.headers.get("content-type", "")
            return checked(loaded.body, declared, wanted.sha256)

        try:
            return await in_time(fetch)
        except Refused as refused:
            raise MediaUnavailable(refused.message) from None

    async def upload(self, data: bytes, media_type: str, name: str) -> str:
        raise unsendable("no_link", "Twilio takes a file as a public link only, not as an upload.")

    async def check(self) -> Checked:
        """The account by its token, and the key by the list of messages. Raises Refused, NotSent."""
        account = self._account
        found: Answer | None = None
        if account.auth_token:
            found = await self._look(f"{self._path}.json", (account.sid, account.auth_token))
            if found.text("status") not in ("", "active"):
                raise Refused("account", found.text("status"), "Twilio says that the account is not active.")
        if account.key_secret or found is None:
            await self._look(f"{self._path}/Messages.json?PageSize=1", account.signs)
        return Checked(self._from.removeprefix("whatsapp:"), "" if found is None else found.text("friendly_name"))

    async def belongs_to(self, business: str) -> bool:
        """The account is a part of every request: `check` has proved it."""
        return business == self._account.sid

    async def find(self, letter: Letter, since_s: float) -> Sent | Undelivered | None:
        """The newest one since then that says the same: later ones of ours wait until this one is settled."""
        ways = listed_as(letter.content)
        if not ways:
            return None
        day = datetime.fromtimestamp(since_s, UTC).date().isoformat()
        query = {"To": address(letter.to), "From": self._from, "DateSent>": day, "PageSize": str(LISTED)}
        answer = await self._look(f"{self._path}/Messages.json?{urlencode(query)}", self._account.signs)
        listed = answer.get("messages")
        if not isinstance(listed, list):
            raise NotSent("The provider's list of messages could not be read.")
        found = [each for each in listed if _says(each, ways) and _made_at(each) >= int(since_s)]
        return _became(max(found, key=_made_at)) if found else None

    async def _look(self, path: str, signs: tuple[str, str]) -> Answer:
        """An answer that is a success. Raises Refused, NotSent."""
        question = Outgoing(path, self._headers(signs), b"", ())
        answer = await harmless(self._upstream, question, method=b"GET", cap=LIST_CAP)
        if answer.good and isinstance(answer.body, dict):
            return answer
        raise raised(self._failure(answer))

    def _form(self, path: str, form: Fields) -> Outgoing:
        content_type = (b"content-type", b"application/x-www-form-urlencoded")
        body = encoded(lambda: urlencode(form).encode())
        return Outgoing(path, (*self._headers(self._account.signs), content_type), body, ())

    def _headers(self, signs: tuple[str, str]) -> Headers:
        return (_basic(signs), (b"accept", b"application/json"), USER_AGENT)

    def _authorization(self) -> tuple[bytes, bytes]:
        return _basic(self._account.signs)

    def _failure(self, answer: Answer) -> Refused | OutcomeUnknown:
        return failure(answer, self._account.secrets)


def _basic(signs: tuple[str, str]) -> tuple[bytes, bytes]:
    """Raises Refused for credentials that could not be any."""
    if not all(map(VISIBLE.fullmatch, signs)):
        raise Refused("account", "token", "The account SID, auth token or API key is missing. Enter them again.")
    return b"authorization", b"Basic " + base64.b64encode(":".join(signs).encode())


def _says(listed: Any, ways: Sequence[tuple[str, bool]]) -> bool:
    """Whether a listed message is one of ours with one of these texts, with its file or without."""
    if not isinstance(listed, dict) or not isinstance(listed.get("sid"), str):
        return False
    ours = str(listed.get("direction")).startswith("outbound")
    shown = str(listed.get("body") or "").strip(), str(listed.get("num_media") or 0) != "0"
    return ours and any(shown == (text.strip(), with_file) for text, with_file in ways)


def _became(listed: dict[str, Any]) -> Sent | Undelivered:
    if listed.get("status") not in NOT_DELIVERED:
        return Sent(listed["sid"])
    return Undelivered(listed["sid"], str(listed.get("error_code") or ""), str(listed.get("error_message") or ""))


def _made_at(listed: dict[str, Any]) -> float:
    """Unix seconds, 0 when it does not say."""
    try:
        return parsedate_to_datetime(str(listed.get("date_created"))).timestamp()
    except (ValueError, OverflowError):
        return 0.0
