"""A bot at a number of the bench's own Graph API, made the way a tenant makes it: by the platform API."""

from __future__ import annotations

import http
import http.client
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
import trio

from scripts.bench.hooks import Gate
from scripts.bench.processes import BenchError
from scripts.bench.questions import HOST
from scripts.bench.systems import MODEL

ANSWER_S: Final = 30.0
#: As fast as Meta lets anybody send.
PER_S: Final = 1000


@dataclass(frozen=True, slots=True)
class Shop:
    """`port` is that of the gateway by which it was opened; webhooks may come in at any other."""

    port: int
    key: str
    app_secret: str
    account: str
    bot_id: str
    number_id: str

    def gate(self, port: int) -> Gate:
        return Gate(port, f"/api/v1/webhooks/whatsapp/{self.number_id}", self.app_secret, self.account)

    async def switch(self, *, on: bool) -> None:
        """Let the bot answer, or not. Raises BenchError."""
        await _ask(self.port, self.key, "PUT", f"/api/v1/bots/{self.bot_id}", {"is_active": on})


async def open_shop(port: int, key: str, *, debounce_s: float) -> Shop:
    """A bot, and its number, confirmed by the provider. Raises BenchError."""
    ask = partial(_ask, port, key)
    config = {"model": MODEL, "debounce_seconds": debounce_s, "debounce_most_seconds": debounce_s}
    bot = {"type": "whatsapp", "name": "Bench", "system_prompt": "You sell tea.", "config": config}
    bot_id = (await ask("POST", "/api/v1/bots", bot))["id"]
    app_secret, account = secrets.token_hex(16), str(secrets.randbelow(10**15))
    new = {
        **{"provider": "meta", "phone_number_id": account, "access_token": "simulated-token-of-the-bench"},
        **{"app_secret": app_secret, "bot_id": bot_id, "messages_per_second": PER_S},
    }
    number_id = (await ask("POST", "/api/v1/whatsapp/numbers", new))["id"]
    await ask("POST", f"/api/v1/whatsapp/numbers/{number_id}/verify")
    return Shop(port, key, app_secret, account, bot_id, number_id)


async def _ask(port: int, key: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return await trio.to_thread.run_sync(_answer, port, key, method, path, body)


def _answer(port: int, key: str, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_S)
    try:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status >= http.HTTPStatus.MULTIPLE_CHOICES:
        raise BenchError(f"{method} {path} was answered {response.status}: {answer[:300].decode()}")
    found: dict[str, Any] = msgspec.json.decode(answer)
    return found
