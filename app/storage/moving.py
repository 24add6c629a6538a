"""Moving a live business from SQLite to PostgreSQL: copy, stop, copy the rest, prove both equal, close the source.

The copy runs beside the gateway and writes nothing to the source. Then no call may begin any more, those that run come
to their end, and under SQLite's write lock the rest is copied, everything is compared, and the source is closed for
good in that same transaction. Before that commit the source is in use, whatever happens to us; after it the target is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg

from app.core.identity import Clock, now_us
from app.storage.engines import POSTGRES, shown, sqlite_path
from app.storage.moving_copy import CHUNK, Copier
from app.storage.moving_source import STOP_S, Source
from app.storage.moving_tables import DELETED_FROM, Key, MoveError, Table
from app.storage.moving_target import Target
from app.storage.postgres_line import described

#: Copied again beside the gateway until a pass finds no more than this to write, but not more often than that.
LITTLE: Final = 10 * CHUNK
PASSES: Final = 3
LOOK_S: Final = 0.1
RENEW_S: Final = STOP_S / 3


@dataclass(frozen=True, slots=True)
class Plan:
    """From one URL to the other. `copy_only` leaves the source in use; `force` goes on after `wait_s`."""

    source: str
    target: str
    copy_only: bool = False
    wait_s: float = 60.0
    force: bool = False

    def source_path(self) -> Path:
        """Raises MoveError for a direction that there is no way in."""
        path = sqlite_path(self.source)
        if path is None or not self.target.startswith(POSTGRES):
            raise MoveError(
                f"There is no way from {shown(self.source)} to {shown(self.target)}: a business moves from "
                "sqlite:///PATH to postgresql://USER:PASSWORD@HOST:PORT/NAME and not back."
            )
        return path


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` rows of `what`; or, while `total` is None, so many calls that are still open."""

    what: str
    done: int
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One table, equal on both sides: its rows, and the sums of its columns of money in ucr."""

    table: str
    rows: int
    sums: dict[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """What is in the target now. `held` is how many calls were copied open, `warnings` are for the operator.

    `stopped_s` is how long no call could begin; after a rehearsal how long it would be if no call were open.
    """

    lines: tuple[Line, ...]
    stopped_s: float
    held: int
    warnings: tuple[str, ...]


Tell = Callable[[Progress], None]


def moved_before(plan: Plan) -> str | None:
    """Where the source's business is by now, and since when; None while it is in use. Raises MoveError."""
    with Source(plan.source_path(), query_only=True) as source:
        return source.moved_to()


def move(plan: Plan, tell: Tell, clock: Clock = now_us) -> Report:
    """Do it; both databases must be migrated. It can be run again after whatever ended it.

    Raises MoveError, also for what PostgreSQL says; KeyboardInterrupt leaves the source in use, as an error does.
    """
    try:
        with Source(plan.source_path(), query_only=plan.copy_only) as source, Target(plan.target) as target:
            return _Move(plan, source, target, tell, clock).run()
    except psycopg.Error as error:
        raise MoveError(
            f"{shown(plan.target)}: {described(error)}. Nothing is lost; mend it and run this again"
        ) from None


class _Move:
    def __init__(self, plan: Plan, source: Source, target: Target, tell: Tell, clock: Clock) -> None:
        self._plan = plan
        self._source = source
        self._target = target
        self._tell = tell
        self._clock = clock
        self._tables = source.tables()
        self._copier = Copier(source, target, {table.name: table for table in self._tables})

    def run(self) -> Report:
        self._check_schema()
        self._check_source()
        self._check_target()
        for _ in range(PASSES):
            if self._copy() <= LITTLE:
                break
        for table in self._tables:
            self._target.analyse(table)
        role = self._target.unbound_role()
        warning = f"PostgreSQL's row-level security does not bind the role {role!r}: `python -m app doctor` says more."
        lines, stopped_s, held = self._rehearse() if self._plan.copy_only else self._cut_over()
        return Report(lines, stopped_s, held, () if role is None else (warning,))

    def _check_schema(self) -> None:
        if not (steps := self._source.steps()):
            raise MoveError(f"{self._plan.source} holds no gateway's business")
        if (where := self._source.moved_to()) is not None:
            raise MoveError(f"{self._plan.source} has been moved before, to {where}")
        if steps != self._target.steps():
            raise MoveError(
                f"{self._plan.source} has another schema than {shown(self._plan.target)}: bring both up to date first, "
                "with `python -m app migrate --database URL`"
            )

    def _check_source(self) -> None:
        """What cannot be moved is said before anything is written."""
        if broken := self._source.broken_tenants():
            raise MoveError(f"the books of {', '.join(broken)} in {self._plan.source} do not balance; mend them first")
        unfit = [(table, *found) for table in self._tables for found in self._source.unfit(table)]
        if unfit:
            where = "\n".join(f"  {column} of {table.name} where {_where(table, key)}" for table, key, column in unfit)
            raise MoveError(
                f"PostgreSQL cannot keep these values, texts with U+0000 in them or of another type:\n{where}\n"
                "Give each another value first: UPDATE table SET column = '...' WHERE ..."
            )

    def _check_target(self) -> None:
        for table in self._tables:
            if table.name not in DELETED_FROM:
                self._refuse_strangers(table)

    def _refuse_strangers(self, table: Table) -> None:
        if strangers := self._copier.strangers(table):
            first = _where(table, strangers[0])
            raise MoveError(
                f"{shown(self._plan.target)} is somebody else's: {table.name} has {len(strangers)} rows that "
                f"{self._plan.source} never had, such as the one with {first}. Choose an empty database."
            )

    def _copy(self) -> int:
        """Copy every table; returns how many rows had to be written."""
        written = 0
        for table in self._tables:
            total, *_ = self._source.totals(table)

            def tell(seen: int, name: str = table.name, total: int = total) -> None:
                self._tell(Progress(name, seen, max(seen, total)))

            written += self._copier.copy(table, tell)
        return written

    def _rehearse(self) -> tuple[tuple[Line, ...], float, int]:
        began = time.monotonic()
        with self._source.standing_still(locked=False):
            self._copy()
            return self._proof(), time.monotonic() - began, self._source.open_calls()

    def _cut_over(self) -> tuple[tuple[Line, ...], float, int]:
        began = time.monotonic()
        with self._stopped():
            while True:
                waited_enough = self._wait_for_calls(began + self._plan.wait_s)
                with self._source.standing_still(locked=True):
                    held = self._source.open_calls()
                    if held and not waited_enough:  # one began in time, or the stop had lifted itself
                        continue
                    self._copy()
                    lines = self._proof()
                    day = datetime.fromtimestamp(self._clock() / 1e6, UTC).date()
                    self._source.close_for_good(f"{shown(self._plan.target)} ({day})")
                    return lines, time.monotonic() - began, held

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        """No call begins within the block, and after it unless the source was closed there."""
        try:
            self._source.stop()
            yield
        finally:
            if self._source.moved_to() is None:
                self._source.lift_stop()

    def _wait_for_calls(self, until: float) -> bool:
        """Wait until no call is open; True when it need not be asked again. Raises MoveError after `until`."""
        renew_at = time.monotonic() + RENEW_S
        while still := self._source.open_calls():
            self._tell(Progress("calls that are still open", still))
            now = time.monotonic()
            if now >= until:
                if self._plan.force:
                    return True
                calls = "\n".join(
                    f"  {call} of {tenant}, {model}" for tenant, call, model in self._source.first_open_calls()
                )
                raise MoveError(
                    f"{still} calls are still open after {self._plan.wait_s:g} s:\n{calls}\n"
                    "The gateway goes on as before. Run this again with a longer --wait, or with --force: "
                    "then these calls end free of charge."
                )
            if now >= renew_at:
                self._source.stop()
                renew_at = now + RENEW_S
            time.sleep(LOOK_S)
        return False

    def _proof(self) -> tuple[Line, ...]:
        """After everything was compared: no row too many, equal sums, and books that balance. Raises MoveError."""
        self._forget()
        lines = []
        for table in self._tables:
            ours, theirs = self._source.totals(table), self._target.totals(table)
            if theirs[0] > ours[0]:
                self._refuse_strangers(table)
            if ours != theirs:
                raise MoveError(
                    f"{table.name}: {theirs} in PostgreSQL instead of {ours} (rows and sums); run this again"
                )
            lines.append(Line(table.name, ours[0], dict(zip(table.money, ours[1:], strict=True))))
        for name, broken in (
            (self._plan.source, self._source.broken_tenants()),
            (shown(self._plan.target), self._target.broken_tenants()),
        ):
            if broken:
                raise MoveError(f"the books of {', '.join(broken)} in {name} do not balance")
        return tuple(lines)

    def _forget(self) -> None:
        """Delete what the source has deleted since an earlier run: rows before those that they refer to."""
        for table in reversed(self._tables):
            if table.name in DELETED_FROM and self._target.totals(table)[0] > self._source.totals(table)[0]:
                self._target.delete(table, self._copier.strangers(table))


def _where(table: Table, key: Key) -> str:
    return " and ".join(f"{column} = {value!r}" for column, value in zip(table.key, key, strict=True))
