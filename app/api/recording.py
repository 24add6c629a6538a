"""The answer of one request under an idempotency key, kept before its client can see the end of it."""

from __future__ import annotations

from typing import Final

from app.core.idempotency import Claim, is_kept
from app.core.kept_reply import Headers, ReplyPacker, pack_whole
from app.usecases.idempotency import Idempotency
from app.usecases.settling import Beside

OK: Final = 200
JSON: Final = (b"content-type", b"application/json")


class Recording:
    """Who settles a call asks it what keeps the answer; the exchange tells it of every reply.

    A stream is taken in as it is sent, and `stream` is told its last bytes; `whole` is told all of an answer that is
    sent at once. Whatever else is replied, such as a refusal, is kept by `reply` or lets a repeat run.
    """

    def __init__(self, idempotency: Idempotency, tenant_id: str, claim: Claim) -> None:
        self.claim: Final = claim
        self._idempotency = idempotency
        self._tenant_id = tenant_id
        self._stream: ReplyPacker | None = None
        self._over = False

    def begin(self, headers: Headers) -> None:
        if not self._over:
            self._stream = ReplyPacker(headers)

    def add(self, data: bytes) -> None:
        if not self._over and self._stream is not None:
            self._stream.add(data)

    def stream(self, last: bytes) -> Beside:
        """What keeps the stream that has been sent, `last` included: it is sent once that is written."""
        if self._stream is None:
            raise RuntimeError("a stream ends that has not begun")
        self._over = True
        self._stream.add(last)
        return self._idempotency.beside(self._tenant_id, self.claim, OK, self._stream.data())

    def whole(self, headers: Headers, body: bytes) -> Beside:
        """What keeps a good answer that is sent at once, after that is written."""
        self._over = True
        return self._idempotency.beside(self._tenant_id, self.claim, OK, pack_whole(headers, body))

    def json(self, body: bytes, headers: Headers) -> Beside:
        return self.whole([JSON, *headers], body)

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """An answer is about to be sent; nothing to do if it was settled with a call."""
        if self._over:
            return
        self._over = True
        if is_kept(status):
            await self._idempotency.keep(self._tenant_id, self.claim, status, pack_whole(headers, body))
        else:
            await self.release()

    async def release(self) -> None:
        """Nobody will be answered, unless a call was charged: let a repeat run."""
        await self._idempotency.release(self._tenant_id, self.claim)
