"""The bytes of stored images and of media: one file each under a folder, written whole or not at all.

`FOLDER/<tenant>/<days>/<id>`: an id begins with its time, so files of three days share a folder, none grows
without bound, and an old one goes when it is empty. Nothing of a path comes from a client unchecked. A file belongs to
one row: equal images do not share one, so that deleting needs no counting. Several machines share one mount.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final, TypeVar

import trio

T = TypeVar("T")
#: What a file may take to be written or read; a mount that hangs must not hold up answers for longer.
DEADLINE_S: Final = 5.0
#: The same for looking through all of them.
SEARCH_S: Final = 120.0
#: A mount that hangs keeps these threads and no others.
THREADS: Final = 8
TENANT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: What is being written, or was when a process died.
PART: Final = ".part"
#: What `new_id` makes of a prefix of three letters, such as `img_`.
NAME: Final = re.compile(rf"[a-z]{{3}}_[0-9A-V]{{26}}({re.escape(PART)})?")
#: The characters of an id that tell the folder: they change every 2**28 milliseconds.
DAYS: Final = slice(4, 8)
#: A folder that has not changed for longer than that is written to no more.
FOLDER_OVER_S: Final = 4 * 86_400.0


class Blobs:
    """The files of all tenants. Everything raises OSError: the disk is full or away, or did not answer in time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = trio.CapacityLimiter(THREADS)

    async def keep(self, tenant_id: str, image_id: str, data: bytes) -> None:
        """Write a file so that it survives a power cut. A cancel leaves it there whole or not at all."""
        await self._run(partial(_write, self._path(tenant_id, image_id), data), DEADLINE_S)

    async def read(self, tenant_id: str, image_id: str, at: int, size: int) -> bytes:
        """At most `size` bytes from position `at`, b"" behind the end. Raises FileNotFoundError when there is none."""
        return await self._run(partial(_read, self._path(tenant_id, image_id), at, size), DEADLINE_S)

    async def delete(self, tenant_id: str, names: Iterable[str]) -> None:
        """What is not there is deleted already."""
        paths = [self._path(tenant_id, name) for name in names]
        await self._run(partial(_delete, paths), SEARCH_S)

    async def folders(self) -> list[tuple[str, str]]:
        """Every folder with files, as (tenant, days)."""
        return await self._run(partial(_folders, self._folder), SEARCH_S)

    async def older(self, tenant_id: str, days: str, than_s: float) -> list[str]:
        """Names of the files of a folder that were written so many seconds ago, the unfinished among them."""
        before_s = time.time() - than_s
        return await self._run(partial(_older, self._folder / tenant_id / days, before_s), SEARCH_S)

    async def check(self) -> None:
        """Write a file in the folder, or where it would have to be made. Leaves nothing."""
        await self._run(partial(_check, self._folder), DEADLINE_S)

    def _path(self, tenant_id: str, name: str) -> Path:
        if TENANT.fullmatch(tenant_id) is None or NAME.fullmatch(name) is None:
            raise ValueError("no id of ours")
        return self._folder / tenant_id / name[DAYS] / name

    async def _run(self, work: Callable[[], T], within_s: float) -> T:
        try:
            with trio.fail_after(within_s):
                return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)
        except trio.TooSlowError:
            raise TimeoutError(f"no answer from the disk within {within_s:g} s") from None


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + PART)
    _make(path.parent)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    _make(folder.parent)
    with suppress(FileExistsError):  # another thread was quicker, or it is no folder, as whoever opens it will see
        folder.mkdir(mode=0o700)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """A name in a folder is durable once the folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path, at: int, size: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(at)
        return file.read(size)


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _folders(folder: Path) -> list[tuple[str, str]]:
    tenants = [each for each in _entries(folder) if each.is_dir() and TENANT.fullmatch(each.name)]
    return [(tenant.name, days.name) for tenant in tenants for days in _entries(Path(tenant)) if days.is_dir()]


def _older(folder: Path, before_s: float) -> list[str]:
    entries = _entries(folder)
    if not entries and folder.exists() and folder.stat().st_mtime < time.time() - FOLDER_OVER_S:
        folder.rmdir()
    return [each.name for each in entries if NAME.fullmatch(each.name) and each.stat().st_mtime < before_s]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """None of a folder that is not there: nothing was ever kept, or another process has cleared it away."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _check(folder: Path) -> None:
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    with TemporaryFile(dir=existing) as file:
        file.write(b"\0")
