"""The command line: python -m scripts.simulator --port N."""

from __future__ import annotations

import argparse
import logging
import signal
import sys

import trio

from app.core.tokens import warm
from scripts.simulator.cues import CUES
from scripts.simulator.routes import DESKS, SURFACES
from scripts.simulator.server import serve
from scripts.simulator.settings import Settings
from scripts.simulator.triggers import TRIGGERS
from scripts.simulator.whatsapp import surfaces as whatsapp
from scripts.simulator.whatsapp.faults import FAULTS


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows)) + 2
    return "\n".join(f"  {name:<{width}}{about}" for name, about in rows.items())


def _epilog() -> str:
    surfaces, desks, phones, phone_desks = (
        "\n".join(f"  {route.method:<6} {route.path}" for route in routes)
        for routes in (SURFACES, DESKS, whatsapp.SURFACES, whatsapp.DESKS)
    )
    return (
        f"providers' surfaces (any key will do):\n{surfaces}\n\n"
        f"the simulator's own (/book takes ?tag=WORD and ?since=N, a record's n):\n{desks}\n\n"
        "WhatsApp as Meta and Twilio serve it (the credentials a number was connected with):\n"
        f"{phones}\n\n"
        "its phones, numbers and webhooks (JSON; scripts/simulator/whatsapp/desks.py says which fields):\n"
        f"{phone_desks}\n\n"
        "faults for the next requests of a number, ordered at POST /whatsapp/faults:\n"
        f"{_table({name: fault.about for name, fault in FAULTS.items()})}\n\n"
        f"cues, anywhere in the last user message:\n{_table(CUES)}\n\n"
        "triggers, as [mock=TRIGGER] or in a model id as mock/TRIGGER (mock/a+b for two):\n"
        f"{_table({name: trigger.about for name, trigger in TRIGGERS.items()})}\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.simulator",
        description="A stand-in for the upstream providers: answers, misbehaves on cue, and books what it served.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes a free one")
    parser.add_argument("--pace", type=float, metavar="TOKENS_PER_SECOND", help="default: everything at once")
    parser.add_argument("--first-token-ms", type=float, metavar="MS", help="wait before the first token (default 0)")
    parser.add_argument(
        "--webhook-retry-scale",
        type=float,
        default=0.1,
        metavar="FACTOR",
        help="of Meta's pauses (default %(default)s)",
    )
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    settings = Settings(
        pace=arguments.pace,
        first_token_ms=arguments.first_token_ms,
        webhook_retry_scale=arguments.webhook_retry_scale,
    )
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def run_server(task_status: trio.TaskStatus[str]) -> None:
                await serve(host=arguments.host, port=arguments.port, settings=settings, task_status=task_status)

            url = await nursery.start(run_server)
            print(f"simulator ready on {url}", flush=True)
            await anext(signals)
            nursery.cancel_scope.cancel()


def main() -> None:
    """Run until SIGINT or SIGTERM, then exit 0; exit 1 when the port cannot be had."""
    arguments = _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    warm()
    try:
        trio.run(_run, arguments)
    except* OSError as group:
        sys.exit(f"cannot listen on {arguments.host}:{arguments.port}: {group.exceptions[0]}")


if __name__ == "__main__":
    main()
