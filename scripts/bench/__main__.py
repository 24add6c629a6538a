"""The command line: python -m scripts.bench."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, get_args

from scripts.bench import litellm, scaling_report, surfaces, whatsapp
from scripts.bench.figures import LOADS, Kind, Measure, Scaled, System, number
from scripts.bench.machine import describe
from scripts.bench.plot import svg
from scripts.bench.processes import BenchError
from scripts.bench.report import as_json, render
from scripts.bench.run import RunPlan, run
from scripts.bench.scaling import ScalingPlan, run_scaling
from scripts.bench.surfaces import SurfaceMeasure, run_surfaces
from scripts.bench.systems import ROOT
from scripts.bench.wrk import find_wrk

DESCRIPTION: Final = """\
Measures this gateway beside an empty server and LiteLLM, all in front of the same simulated upstream.

Systems, one process each on the first core:
  echo      an empty application on stock Hypercorn and Trio that sends the body back: what the stack can do at most
  gateway   this gateway with everything on: keys, limits, a ledger with synchronous=FULL, access log
  litellm   LiteLLM's proxy with one worker, a master key, no database (--litellm installs it)
  upstream  the simulator itself, asked without a gateway: what the rig can do at most
The upstream and the load are on the last core (the upstream has a core of its own where there are three).

Loads:
  json      1, 16 and 64 connections, each with one call at a time; the upstream gives its 20 tokens at once
  streams   25, 100 and 200 streams open at once, 50 tokens/s each, 80 to 120 tokens, each begun again when it ends

All systems stay up for the whole run and take turns at every load, so that noise hits them alike; the order turns
round after each round. Figures are medians over the rounds, lowest and highest in parentheses. CPU is what the
system's processes used, by call or by token: it holds on a busy machine, where requests per second do not.
JSON load comes from wrk where it is installed, else from the generator in Python.

--scaling measures something else: this gateway with 1 and 2 workers on SQLite and with 1, 2 and 3 replicas on
PostgreSQL, for 1 tenant and for 50, beside echo; its table explains itself.

--whatsapp measures WhatsApp bots: acknowledgement of webhooks, our own part of an answer, a thousand users at once.

--surfaces measures chat completions, responses and messages beside each other: what a stream and a whole answer cost
the gateway on each.
"""
SYSTEMS: Final[tuple[System, ...]] = get_args(System)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 when the bench could not run, 130 when it was interrupted: it reports what it has."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    about = describe(ROOT)
    if options.scaling:
        return _scaling(options, about)
    if options.whatsapp:
        return _whatsapp(options, about)
    return _surfaces(options, about) if options.surfaces else _loads(options, about)


def _loads(options: argparse.Namespace, about: dict[str, object]) -> int:
    measures: list[Measure] = []

    def measure() -> None:
        plan = _plan(options)
        about.update(_about(plan))
        with closing(run(plan, _say)) as found:
            for one, error in found:
                measures.append(one)
                _say(_progress(one, error))

    code = _exit_code(measure)
    if measures:
        print(render(measures))
        options.out.write_bytes(as_json(measures, about))
        options.plot.write_text(svg(measures), encoding="utf-8")
        print(f"\nWritten: {options.out}, {options.plot}")
    return code


def _scaling(options: argparse.Namespace, about: dict[str, object]) -> int:
    measures: list[Scaled] = []
    plan = ScalingPlan(options.seconds, options.rounds, None if options.no_wrk else find_wrk())
    about |= {"seconds": plan.seconds, "rounds": plan.rounds, "json_load": "wrk" if plan.wrk else "python"}

    def measure() -> None:
        with closing(run_scaling(plan, _say)) as found:
            for one in found:
                measures.append(one)
                _say(scaling_report.progress(one))

    code = _exit_code(measure)
    if measures:
        print(scaling_report.render(measures))
        options.out.write_bytes(scaling_report.as_json(measures, about))
        print(f"\nWritten: {options.out}")
    return code


def _surfaces(options: argparse.Namespace, about: dict[str, object]) -> int:
    measures: list[SurfaceMeasure] = []

    def measure() -> None:
        with closing(run_surfaces(options.seconds, options.rounds, _say)) as found:
            for one in found:
                measures.append(one)
                _say(surfaces.progress(one))

    code = _exit_code(measure)
    if measures:
        print(surfaces.render(measures))
        options.out.write_bytes(surfaces.as_json(measures, about))
        print(f"\nWritten: {options.out}")
    return code


def _whatsapp(options: argparse.Namespace, about: dict[str, object]) -> int:
    figures: list[whatsapp.Figure] = []

    def measure() -> None:
        figures.extend(whatsapp.run_whatsapp(options.seconds, _say))

    code = _exit_code(measure)
    if figures:
        print(whatsapp.render(figures))
        options.out.write_bytes(whatsapp.as_json(figures, about))
        print(f"\nWritten: {options.out}")
    return code


def _exit_code(measure: Callable[[], None]) -> int:
    try:
        measure()
    except KeyboardInterrupt:
        _say("interrupted: every system has been stopped")
        return 130
    except (BenchError, OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _progress(found: Measure, error: str | None) -> str:
    unit = "requests/s" if found.kind == "json" else "tokens/s"
    p50 = "–" if found.p50_ms is None else f"{number(found.p50_ms)} ms"
    line = f"round {found.round}  {found.kind:<7} {found.load:>3}  {found.system:<8}"
    line += f"  {number(found.per_s):>6} {unit}  p50 {p50}"
    if found.errors:
        line += f"  {found.errors} ERRORS" + (f", the first: {error}" if error else "")
    return line


def _plan(options: argparse.Namespace) -> RunPlan:
    if options.litellm:
        litellm.install(ROOT)
    return RunPlan(
        seconds=options.seconds,
        rounds=options.rounds,
        kinds=(options.only,) if options.only else tuple(LOADS),
        peers=_peers(options.peers, litellm.is_installed(ROOT)),
        wrk=None if options.no_wrk else find_wrk(),
    )


def _peers(asked: tuple[System, ...], has_litellm: bool) -> tuple[System, ...]:
    """Those asked for, or all that can be had. Raises BenchError for LiteLLM when it is not there."""
    if has_litellm:
        return asked or SYSTEMS
    if "litellm" in asked:
        raise BenchError("LiteLLM is not installed here; add --litellm, which installs it into .venv-litellm")
    if not asked:
        _say("LiteLLM is not installed here and left out; --litellm installs it into .venv-litellm")
    return asked or tuple(name for name in SYSTEMS if name != "litellm")


def _about(plan: RunPlan) -> dict[str, object]:
    """What the run was asked for, as its JSON tells it."""
    return {
        "seconds": plan.seconds,
        "rounds": plan.rounds,
        "json_load": "wrk" if plan.wrk else "python",
        "litellm": litellm.version(ROOT) if "litellm" in plan.peers else None,
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="measured time of each point (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="times that each point is measured (default %(default)s)")
    parser.add_argument("--only", choices=get_args(Kind), help="one kind of load instead of both")
    parser.add_argument(
        "--peers",
        type=_systems,
        metavar="NAMES",
        help=f"of {','.join(get_args(System))} (default: all that can be had)",
    )
    parser.add_argument("--litellm", action="store_true", help="install LiteLLM into .venv-litellm if it is not there")
    parser.add_argument("--scaling", action="store_true", help="processes and engines in place of the loads above")
    parser.add_argument("--surfaces", action="store_true", help="the chat surfaces in place of the loads above")
    parser.add_argument("--whatsapp", action="store_true", help="WhatsApp bots in place of the loads above")
    parser.add_argument("--no-wrk", action="store_true", help="JSON load from Python even where wrk is installed")
    parser.add_argument("--out", type=Path, help="default: bench-results.json, or bench-scaling.json, ...")
    parser.add_argument("--plot", type=Path, default=Path("bench.svg"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    name = next((name for name in ("scaling", "surfaces", "whatsapp") if getattr(options, name)), "results")
    options.out = options.out or Path(f"bench-{name}.json")
    if options.seconds < 1 or options.rounds < 1:
        parser.error("--seconds and --rounds are at least 1")
    return options


def _systems(text: str) -> tuple[System, ...]:
    names = text.split(",")
    if not set(names) <= set(SYSTEMS):
        raise argparse.ArgumentTypeError(f"write some of {','.join(SYSTEMS)}")
    return tuple(name for name in SYSTEMS if name in names)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
