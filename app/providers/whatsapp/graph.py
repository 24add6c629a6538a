"""A WhatsApp number at Meta: the Cloud API's messages and media (wire/whatsapp-meta.md sections 9 to 13)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog

from app.providers.body import Question, Uploading
from app.providers.dialect import Outgoing
from app.providers.upstream import ERROR_BODY_CAP, Upstream
from app.providers.whatsapp.exchange import (
    UPLOAD_S,
    USER_AGENT,
    VISIBLE,
    Answer,
    Headers,
    exchange,
    harmless,
    raised,
)
from app.providers.whatsapp.form import multipart
from app.providers.whatsapp.graph_errors import failure
from app.providers.whatsapp.graph_payloads import message, read_and_typing
from app.providers.whatsapp.letters import encoded, intimate, unsendable
from app.providers.whatsapp.line import (
    Checked,
    File,
    FileWanted,
    Letter,
    MediaUnavailable,
    NotSent,
    OutcomeUnknown,
    Refused,
    Sent,
)
from app.providers.whatsapp.media import Downloads, Gone, checked, in_time

log = structlog.get_logger(__name__)
#: Messages a second by `throughput.level`.
LEVELS: Final = {"STANDARD": 80, "HIGH": 1000}
FIELDS: Final = "display_phone_number,verified_name,throughput"
#: Numbers of a business account: so many on a page, and so many pages are looked through.
LISTED: Final = 100
MOST_PAGES: Final = 20
LIST_CAP: Final = 1024 * 1024


class GraphLine:
    """One number, spoken for with `token`. `upstream` is the Graph API with its version."""

    def __init__(self, upstream: Upstream, downloads: Downloads, *, phone_number_id: str, token: str) -> None:
        self._upstream = upstream
        self._downloads = downloads
        self._account = phone_number_id
        self._id = quote(phone_number_id, safe="")
        self._token = token

    async def send(self, letter: Letter) -> Sent:
        """Raises Refused, NotSent, OutcomeUnknown."""
        answer = await exchange(self._upstream, self._json(f"/{self._id}/messages", message(letter)))
        sent = answer.text("messages", 0, "id")
        if answer.good and sent:
            return Sent(sent)
        raise failure(answer, (self._token,), intimate(letter))

    async def show_typing(self, message_id: str) -> None:
        """Marks the message as read, too."""
        try:
            question = self._json(f"/{self._id}/messages", read_and_typing(message_id))
            answer = await harmless(self._upstream, question)
            if not answer.good:
                log.info("whatsapp.typing_failed", provider="meta", error=str(self._failure(answer)))
        except (Refused, NotSent) as error:
            log.info("whatsapp.typing_failed", provider="meta", error=str(error))

    async def fetch(self, wanted: FileWanted, cap: int) -> File:
        """By its id: a URL lives for five minutes only. What is not there is looked up once more."""
        if not wanted.id:
            raise MediaUnavailable("The message names no file.")

        async def fetch() -> File:
            try:
                return await self._fetch(wanted, cap)
            except Gone:
                return await self._fetch(wanted, cap)

        return await in_time(fetch)

    async def upload(self, data: bytes, media_type: str, name: str) -> str:
        """Valid for 30 days. Raises Refused, NotSent."""
        fields = {"messaging_product": "whatsapp", "type": media_type}
        try:
            content_type, body = multipart(fields, data, media_type, name)
        except ValueError:
            raise unsendable("media_type", "The type of the file is none that can be sent.") from None
        question = Uploading(f"/{self._id}/media", self._headers((b"content-type", content_type)), body)
        answer = await harmless(self._upstream, question, within_s=UPLOAD_S)
        if answer.good and answer.text("id"):
            return answer.text("id")
        raise raised(self._failure(answer))

    async def check(self) -> Checked:
        """Raises Refused, NotSent."""
        answer = await self._look(f"/{self._id}?fields={FIELDS}")
        digits = "".join(filter(str.isdecimal, answer.text("display_phone_number")))
        level = LEVELS.get(answer.text("throughput", "level"))
        return Checked(f"+{digits}" if digits else "", answer.text("verified_name"), level)

    async def belongs_to(self, business: str) -> bool:
        """Looks through the account's numbers, which takes `whatsapp_business_management`. Raises Refused, NotSent."""
        path = f"/{quote(business, safe='')}/phone_numbers?fields=id&limit={LISTED}"
        after = ""
        for _ in range(MOST_PAGES):
            answer = await self._look(f"{path}&after={quote(after, safe='')}" if after else path, cap=LIST_CAP)
            listed = answer.get("data")
            if not isinstance(listed, list):
                raise NotSent("The provider's list of numbers could not be read.")
            if any(isinstance(each, dict) and str(each.get("id")) == self._account for each in listed):
                return True
            after = answer.text("paging", "cursors", "after")
            if not after or not answer.text("paging", "next"):
                break
        return False

    async def find(self, letter: Letter, since_s: float) -> Sent | None:
        """Meta cannot be asked: only a status with our reference tells."""
        return None

    async def _fetch(self, wanted: FileWanted, cap: int) -> File:
        """Raises Gone, MediaUnavailable."""
        try:
            found = await self._look(f"/{quote(wanted.id, safe='')}?phone_number_id={self._id}")
        except NotSent as error:
            raise Gone(str(error)) from None
        except Refused as refused:
            if refused.kind == "transient":
                raise Gone(f"The provider does not give the file away just now ({refused.code}).") from None
            raise MediaUnavailable(f"The provider does not give the file away ({refused.code}).") from None
        size = found.get("file_size")
        if isinstance(size, int) and size > cap:
            raise MediaUnavailable(f"The file is larger than {cap} bytes.")
        loaded = await self._downloads.get(found.text("url"), (self._authorization(),), cap)
        declared = wanted.media_type or found.text("mime_type") or loaded.headers.get("content-type", "")
        return checked(loaded.body, declared, wanted.sha256, found.text("sha256"))

    async def _look(self, path: str, *, cap: int = ERROR_BODY_CAP) -> Answer:
        """An answer that is a success. Raises Refused, NotSent."""
        answer = await harmless(self._upstream, Outgoing(path, self._headers(), b"", ()), method=b"GET", cap=cap)
        if answer.good and isinstance(answer.body, dict) and "error" not in answer.body:
            return answer
        raise raised(self._failure(answer))

    def _json(self, path: str, body: dict[str, Any]) -> Question:
        data = encoded(lambda: msgspec.json.encode(body))
        return Outgoing(path, self._headers((b"content-type", b"application/json")), data, ())

    def _headers(self, *own: tuple[bytes, bytes]) -> Headers:
        return (self._authorization(), (b"accept", b"application/json"), USER_AGENT, *own)

    def _authorization(self) -> tuple[bytes, bytes]:
        """Raises Refused for a token that could not be one."""
        if not VISIBLE.fullmatch(self._token):
            raise Refused("account", "token", "The access token is missing or is none. Enter it again.")
        return b"authorization", b"Bearer " + self._token.encode()

    def _failure(self, answer: Answer) -> Refused | OutcomeUnknown:
        return failure(answer, (self._token,))
