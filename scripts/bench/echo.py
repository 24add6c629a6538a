"""The yardstick: an empty application under stock Hypercorn on Trio, which sends a request's body back."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body whole and answers with it as JSON; says yes to the lifespan."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.echo", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    config = Config()
    config.bind = [f"127.0.0.1:{parser.parse_args().port}"]
    config.keep_alive_max_requests = 2**31
    trio.run(partial(serve, echo, config))


if __name__ == "__main__":
    main()
