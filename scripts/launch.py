"""`python -m scripts.launch`, which scripts/run calls: from nothing to a gateway that answers, in one process."""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import trio

from app.commands import configure_log, exit_code, tune_interpreter
from app.config import Settings
from app.core.errors import first_error
from app.main import open_storage, run_until_signal
from app.providers.registry import dialects
from app.storage.engines import shown
from app.workers import run_workers, worker_count
from catalog.catalog import Catalog
from scripts.launching.demo import Demo, open_demo
from scripts.launching.demo_bots import connect_bots
from scripts.launching.directory import DataDirectory, LaunchError, open_directory
from scripts.launching.simulator import (
    ROOT,
    Simulator,
    has_provider_key,
    open_simulator,
    plays_whatsapp,
    with_simulator,
    with_whatsapp,
)
from scripts.launching.summary import Ready, callable_model, reachable
from scripts.seed_catalog import report, seed_catalog
from scripts.seeding.target import Target

DESCRIPTION = """\
Starts the gateway with a demo tenant; without any provider key in the environment the simulator answers.
Settings come from environment variables (see `python -m app --help`); the options here win over them.
"""


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns 0 then, 1 with one message for what the user can mend."""
    options = parser().parse_args(arguments)
    return serve(lambda: _launch(options))


def serve(launch: Callable[[], None]) -> int:
    """`launch` until it ends by itself; its exit code, 130 when it was stopped before it was ready."""

    def run() -> int:
        launch()
        say("Stopped.")
        return 0

    try:
        return exit_code(run)
    except BaseException as error:
        if not isinstance(first_error(error), KeyboardInterrupt):
            raise
        say("Stopped before it was ready.")
        return 130


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def environment(options: argparse.Namespace, directory: DataDirectory, base: Mapping[str, str]) -> dict[str, str]:
    """The environment with the directory's defaults under it and the command line over it."""
    found = {name: text for name, text in base.items() if text.strip()}
    defaults = {
        "DATABASE_URL": f"sqlite:///{directory.path / 'gateway.db'}",
        "ACCESS_LOG_FILE": str(directory.path / "access.log"),
        "BLOB_DIR": str(directory.path / "blobs"),
        "LOG_LEVEL": "warning",
    }
    if "SECRET_KEY" not in found:
        defaults["SECRET_KEY"] = directory.secret()
    names = {"HOST": "host", "PORT": "port", "CERTFILE": "certfile", "KEYFILE": "keyfile"}
    given = {name: str(value) for name, key in names.items() if (value := getattr(options, key)) is not None}
    return {**defaults, **found, **given}


def check_port(host: str, port: int) -> None:
    """Raises LaunchError when nobody could listen there, before anything else is done."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = (
                f"Port {port} on {host} is taken. Stop what listens there, or choose another with --port (0: any)."
            )
        else:
            message = f"Nothing can listen on {host}, port {port} ({error.strerror}). Choose others: --host, --port."
        raise LaunchError(message) from None


def _launch(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory(options.data.resolve()))
        settings = Settings.from_environment(environment(options, directory, os.environ))
        check_port(settings.host, settings.port)
        configure_log(settings.log_level)
        simulator = None
        if options.play_whatsapp and has_provider_key(settings):
            say("Starting the simulator for WhatsApp alone: providers' keys are set.")
            simulator = stack.enter_context(open_simulator())
            settings = with_whatsapp(settings, simulator.url)
            if not plays_whatsapp(settings, simulator.url):
                raise LaunchError("Meta's WhatsApp is configured (META_...): unset that to let the simulator play it.")
        elif not options.no_simulator and not has_provider_key(settings):
            say("Starting the simulator: no provider's key is set.")
            simulator = stack.enter_context(open_simulator())
            settings = with_simulator(settings, simulator.url)
        tune_interpreter()
        trio.run(partial(_serve, settings, directory, simulator, options.workers))


async def _serve(settings: Settings, directory: DataDirectory, simulator: Simulator | None, workers: int) -> None:
    catalog = Catalog.load()
    demo = await prepare(settings, directory, catalog)
    model = callable_model(catalog, [dialect.name for dialect, _ in dialects(settings)])

    async def announce(root_url: str) -> None:
        url = None if simulator is None else simulator.url
        bots = await connect_bots(settings, root_url, demo.api_key, url, say)
        ready = Ready(root_url, model, demo, settings, directory.path, url, bots)
        directory.write_run(ready.run_json())
        print(ready.text(), flush=True)

    def show(urls: list[str]) -> None:
        nursery.start_soon(announce, reachable(urls[0]))

    say("Starting the gateway.")
    async with trio.open_nursery() as nursery:
        if simulator is not None:
            nursery.start_soon(watch_simulator, simulator)
        if workers > 1:
            await run_workers(settings, workers, show)
        else:
            await run_until_signal(settings, show)
        nursery.cancel_scope.cancel()


async def prepare(settings: Settings, directory: DataDirectory, catalog: Catalog) -> Demo:
    """Bring the database up to date: schema, catalog, demo tenant."""
    say(f"Preparing {shown(settings.database_url)}.")
    async with open_storage(settings) as db:
        for line in report(await seed_catalog(Target(db), catalog), dry_run=False):
            say(f"  {line if len(line) <= 100 else line[:97] + '...'}")
        return await open_demo(db, settings.secret_key.encode(), directory)


async def watch_simulator(simulator: Simulator) -> None:
    """Say so when it ends."""
    code = await simulator.wait_ended()
    say(f"The simulator ended (exit code {code}): calls fail from now on. Stop this and start it again.")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="./scripts/run", description=DESCRIPTION)
    options.add_argument("--port", type=int, metavar="N", help="port of the gateway; 0 takes a free one (default 8000)")
    options.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    options.add_argument("--data", type=Path, metavar="DIR", default=ROOT / "data", help="database and run.json")
    options.add_argument("--workers", type=worker_count, metavar="N", default=1, help="gateway processes (default 1)")
    options.add_argument("--certfile", metavar="FILE", help="serve TLS with this certificate (PEM)")
    options.add_argument("--keyfile", metavar="FILE", help="and this private key (PEM)")
    simulated = options.add_mutually_exclusive_group()
    simulated.add_argument("--no-simulator", action="store_true", help="do not answer from the simulator")
    simulated.add_argument(
        "--play-whatsapp", action="store_true", help="let the simulator play WhatsApp beside real models, for chat"
    )
    return options


if __name__ == "__main__":
    os.umask(0o077)  # the database and the access log are nobody else's business
    sys.exit(main())
