"""Files of images: whole or not there, nowhere but in their folder, and a disk that is ill is told in time."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
import trio

from app.core.identity import new_id
from app.storage import blobs as module
from app.storage.blobs import FOLDER_OVER_S, Blobs
from tests.storage.making import DAY_0

TENANT = "0190a1b2-0000-7000-8000-000000000001"
DAY_S = 86_400.0


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "deep" / "blobs")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def everything(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


async def test_a_file_is_read_back_piece_by_piece(blobs: Blobs) -> None:
    name = new_id("img_", DAY_0)
    await blobs.keep(TENANT, name, b"0123456789")
    assert [await blobs.read(TENANT, name, at, 4) for at in (0, 4, 8, 12)] == [b"0123", b"4567", b"89", b""]


async def test_files_are_for_their_owner_alone(tmp_path: Path, blobs: Blobs) -> None:
    await blobs.keep(TENANT, new_id("img_", DAY_0), b"0123")
    (path,) = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "deep").rglob("*") if each.is_dir()} == {0o700}


async def test_a_deleted_file_is_gone_and_can_be_deleted_again(blobs: Blobs) -> None:
    name, other = new_id("img_", DAY_0), new_id("img_", DAY_0)
    await blobs.keep(TENANT, name, b"0123")
    await blobs.keep(TENANT, other, b"4567")
    for _ in range(2):
        await blobs.delete(TENANT, [name])
    with pytest.raises(FileNotFoundError):
        await blobs.read(TENANT, name, 0, 4)
    assert await blobs.read(TENANT, other, 0, 4) == b"4567"


@pytest.mark.parametrize("wrong", ["..", ".", "", "a/b", "/etc", "*", "a\0", "x" * 65])
async def test_a_name_that_is_no_id_of_ours_reaches_no_file(tmp_path: Path, blobs: Blobs, wrong: str) -> None:
    for tenant, name in ((wrong, new_id("img_", DAY_0)), (TENANT, wrong), (TENANT, f"img_{'0' * 25}{wrong}")):
        with pytest.raises(ValueError, match="no id of ours"):
            await blobs.keep(tenant, name, b"0123")
        with pytest.raises(ValueError, match="no id of ours"):
            await blobs.read(tenant, name, 0, 4)
        with pytest.raises(ValueError, match="no id of ours"):
            await blobs.delete(tenant, [name])
    assert files(tmp_path) == []


async def test_a_write_that_fails_leaves_nothing(tmp_path: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    name = new_id("img_", DAY_0)
    monkeypatch.setattr("app.storage.blobs.os.fsync", full)
    (tmp_path / "deep" / "blobs" / TENANT / name[4:8]).mkdir(parents=True)
    with pytest.raises(OSError, match="No space left"):
        await blobs.keep(TENANT, name, b"0123")
    assert files(tmp_path) == []


async def test_a_disk_that_hangs_is_given_up_in_time(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE_S", 0.05)
    monkeypatch.setattr(module, "_read", lambda *_: time.sleep(0.3))
    began = trio.current_time()
    with pytest.raises(TimeoutError, match="no answer from the disk"):
        await blobs.read(TENANT, new_id("img_", DAY_0), 0, 4)
    assert trio.current_time() - began < 0.25


async def test_old_files_and_unfinished_ones_are_found_and_nobody_elses(tmp_path: Path, blobs: Blobs) -> None:
    old, young = new_id("img_", DAY_0), new_id("img_", DAY_0)
    for name in (old, young):
        await blobs.keep(TENANT, name, b"0123")
    folder = tmp_path / "deep" / "blobs" / TENANT / old[4:8]
    for name in (f"{young}.part", "README", ".nfs0001"):
        (folder / name).write_bytes(b"")
    for path in files(folder):
        age(path, 2 * DAY_S if path.name != young else 0)
    assert await blobs.folders() == [(TENANT, old[4:8])]
    assert set(await blobs.older(TENANT, old[4:8], DAY_S)) == {old, f"{young}.part"}
    await blobs.delete(TENANT, [f"{young}.part"])
    assert {path.name for path in files(folder)} == {old, young, "README", ".nfs0001"}


async def test_an_empty_folder_goes_once_nothing_can_be_written_to_it_any_more(tmp_path: Path, blobs: Blobs) -> None:
    folder = tmp_path / "deep" / "blobs" / TENANT / "0123"
    folder.mkdir(parents=True)
    assert await blobs.older(TENANT, "0123", DAY_S) == []
    assert folder.exists()
    age(folder, FOLDER_OVER_S + 60)
    assert await blobs.older(TENANT, "0123", DAY_S) == []
    assert not folder.exists()
    assert await blobs.older(TENANT, "0123", DAY_S) == []


async def test_nothing_was_ever_kept_in_a_folder_that_is_not_there(blobs: Blobs) -> None:
    assert await blobs.folders() == []


async def test_a_folder_that_cannot_be_written_to_is_found_out(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new" / "blobs"):
        await Blobs(folder).check()
    assert everything(tmp_path) == []
    with pytest.raises(OSError, match="Not a directory"):
        await Blobs(Path("/dev/null/blobs")).check()
