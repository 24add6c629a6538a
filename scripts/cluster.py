"""`python -m scripts.cluster`, which scripts/cluster calls: replicas and a load balancer over one database."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from app.commands import configure_log
from app.config import Settings
from app.providers.registry import dialects
from catalog.catalog import Catalog
from scripts.clustering import summary
from scripts.clustering.backends import Backends
from scripts.clustering.balancer import run_balancer
from scripts.clustering.fleet import Fleet
from scripts.clustering.postgres import Postgres, open_postgres
from scripts.launch import check_port, environment, prepare, say, serve, watch_simulator
from scripts.launching.demo_bots import connect_bots
from scripts.launching.directory import DataDirectory, LaunchError, open_directory
from scripts.launching.simulator import ROOT, Simulator, has_provider_key, open_simulator, with_simulator
from scripts.launching.summary import Ready, callable_model, reachable

DESCRIPTION = """\
Starts replicas of the gateway, a load balancer in front and, unless a database is named, a PostgreSQL that they share.
Settings come from environment variables (see `python -m app --help`); the options here win over them.
"""
MOST_REPLICAS: Final = 16


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns 0 then, 1 with one message for what the user can mend."""
    options = parser().parse_args(arguments)

    def launch() -> None:
        if not 1 <= options.replicas <= MOST_REPLICAS:
            raise LaunchError(f"--replicas {options.replicas}: choose from 1 to {MOST_REPLICAS}.")
        _launch(options)

    return serve(launch)


def _launch(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        directory = stack.enter_context(open_directory(options.data.resolve()))
        base = {**os.environ, **({"DATABASE_URL": options.database} if options.database else {})}
        postgres = None
        if not base.get("DATABASE_URL", "").strip():
            postgres = _start_postgres(directory, stack)
            base["DATABASE_URL"] = postgres.create()
        settings = Settings.from_environment(environment(options, directory, base))
        check_port(settings.host, settings.port)
        configure_log(settings.log_level)
        _allow_many_connections()
        simulator = None
        if not options.no_simulator and not has_provider_key(settings):
            say("Starting the simulator: no provider's key is set.")
            simulator = stack.enter_context(open_simulator())
            settings = with_simulator(settings, simulator.url)
        trio.run(partial(_serve, options.replicas, settings, directory, Companions(simulator, postgres)))


def _start_postgres(directory: DataDirectory, stack: ExitStack) -> Postgres:
    say(f"Starting PostgreSQL in {directory.path / 'postgres'}.")
    try:
        return stack.enter_context(open_postgres(directory.path / "postgres"))
    except RuntimeError as error:
        raise LaunchError(str(error)) from None


def _allow_many_connections() -> None:
    """The balancer has two descriptors a client, and the usual limit of 1024 is a soft one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(count: int, settings: Settings, directory: DataDirectory, companions: Companions) -> None:
    catalog = Catalog.load()
    demo = await prepare(settings, directory, catalog)
    model = callable_model(catalog, [dialect.name for dialect, _ in dialects(settings)])
    backends = Backends()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            port = await nursery.start(partial(run_balancer, backends, host=settings.host, port=settings.port))
            simulator_url = None if companions.simulator is None else companions.simulator.url
            ready = Ready(_root_url(settings, port), model, demo, settings, directory.path, simulator_url)

            def note() -> None:
                directory.write_run(summary.run_json(ready, fleet.replicas()))

            fleet = Fleet(settings, backends, say, note)
            say(f"Starting {count} replicas.")
            await nursery.start(fleet.run, count)
            nursery.start_soon(companions.watch)
            note()
            bots = await connect_bots(settings, ready.root_url, demo.api_key, simulator_url, say)
            ready = replace(ready, bots=bots)
            print(summary.text(ready, fleet.replicas()), flush=True)
            await _obey(signals, fleet)
            nursery.cancel_scope.cancel()


def _root_url(settings: Settings, port: int) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return reachable(f"{'https' if settings.certfile else 'http'}://{host}:{port}")


async def _obey(signals: AsyncIterator[int], fleet: Fleet) -> None:
    """SIGHUP replaces all replicas. The first SIGINT or SIGTERM drains them, the next ones hurry; then this returns."""
    has_terminal = os.isatty(0)
    async with trio.open_nursery() as nursery:
        async for number in signals:
            # SIGHUP comes too when the terminal in which this runs is closed; then nobody could stop it any more.
            if number != signal.SIGHUP or os.isatty(0) != has_terminal:
                break
            nursery.start_soon(fleet.roll)
        say("Stopping: running calls may finish. Once more ends them now.")

        async def hurry() -> None:
            async for _ in signals:
                fleet.hurry()

        nursery.start_soon(hurry)
        await fleet.drain()
        nursery.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class Companions:
    """What runs beside the replicas, if anything does."""

    simulator: Simulator | None
    postgres: Postgres | None

    async def watch(self) -> None:
        """Say when one of them ends; PostgreSQL is started again."""
        async with trio.open_nursery() as nursery:
            if self.simulator is not None:
                nursery.start_soon(watch_simulator, self.simulator)
            if self.postgres is not None:
                nursery.start_soon(_keep_postgres, self.postgres)


async def _keep_postgres(postgres: Postgres) -> None:
    while postgres.process is not None:
        code = await trio.to_thread.run_sync(postgres.process.wait, abandon_on_cancel=True)
        say(f"PostgreSQL ended with {code}; starting it again.")
        await trio.to_thread.run_sync(postgres.start)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="./scripts/cluster", description=DESCRIPTION)
    options.add_argument("--replicas", type=int, metavar="N", default=3, help="gateway processes (default 3)")
    options.add_argument(
        "--port", type=int, metavar="N", help="port of the balancer; 0 takes a free one (default 8000)"
    )
    options.add_argument("--host", help="address of the balancer (default 127.0.0.1)")
    options.add_argument("--data", type=Path, metavar="DIR", default=ROOT / "data-cluster", help="all files")
    options.add_argument("--database", metavar="URL", help="use this one instead of a PostgreSQL of its own")
    options.add_argument("--certfile", metavar="FILE", help="replicas serve TLS with this certificate (PEM)")
    options.add_argument("--keyfile", metavar="FILE", help="and this private key (PEM)")
    options.add_argument("--no-simulator", action="store_true", help="do not answer from the simulator")
    return options


if __name__ == "__main__":
    os.umask(0o077)  # the database and the access log are nobody else's business
    sys.exit(main())
