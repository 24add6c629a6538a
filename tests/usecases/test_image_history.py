"""The history of images over real files and both engines: kept, shown, forgotten; a disk that is ill harms nobody."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import structlog
import trio

from app.core.errors import Problem
from app.core.file_links import image_links
from app.core.image_history import ImageDetails
from app.core.images import Picture
from app.storage.blobs import Blobs
from app.storage.images import StoredImage
from app.usecases.image_history import LINK_LIFE_S, ImageHistory
from app.usecases.stray_files import STRAY_AFTER_S
from scripts.simulator.media import PNG
from tests.usecases.spending import BILL, Desk, ask

DAY_S = 86_400.0
KEEP_DAYS = 30


@dataclass(frozen=True, slots=True)
class Album:
    """A history, and the folder of its files."""

    desk: Desk
    folder: Path
    history: ImageHistory

    async def keep(self, *datas: bytes) -> list[StoredImage]:
        return await self.history.keep(self.desk.principal, "img-1", "lucid-origin", [drawn(data) for data in datas])

    async def deliver(self, *datas: bytes) -> list[StoredImage]:
        """Keep images and charge for them."""
        async with self.desk.meter.open_call(self.desk.principal, ask()) as call:
            kept = await self.keep(*datas)
            await call.post(BILL, self.history.beside(self.desk.tenant_id, kept))
        return kept

    async def listed(self) -> list[StoredImage]:
        return (await self.history.page(self.desk.tenant_id, None, 100))[0]

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    async def show(self, token: str) -> bytes:
        return await self.history.read(await self.history.find(token), 0, 1024)

    def link(self, image: StoredImage) -> str:
        return self.history.link(self.desk.tenant_id, image.id)


def drawn(data: bytes) -> tuple[Picture, ImageDetails]:
    return Picture(base64.b64encode(data).decode()), ImageDetails("64x64", "a lamp", None, None, 7, None)


def make_album(desk: Desk, folder: Path, keep_days: int = KEEP_DAYS) -> Album:
    links = image_links("a secret for tests only")
    return Album(desk, folder, ImageHistory(desk.db, Blobs(folder), links, keep_days=keep_days, clock=desk.clock))


@pytest.fixture
def album(desk: Desk, tmp_path: Path) -> Album:
    return make_album(desk, tmp_path / "blobs")


async def missing(album: Album, token: str) -> Problem:
    with pytest.raises(Problem) as caught:
        await album.show(token)
    assert caught.value.code == "not_found"
    return caught.value


async def test_images_are_listed_in_the_order_they_were_drawn_and_shown_by_link(album: Album) -> None:
    first, second = await album.deliver(PNG, b"another")
    assert [image.id for image in await album.listed()] == [second.id, first.id]
    assert await album.show(album.link(first)) == PNG
    assert await album.show(album.link(second)) == b"another"
    assert (first.media_type, first.bytes, first.sha256) == ("image/png", len(PNG), hashlib.sha256(PNG).hexdigest())
    assert (first.call_id, first.key_id) == ("img-1", album.desk.principal.key_id)


async def test_equal_images_have_a_file_each(album: Album) -> None:
    await album.deliver(PNG, PNG)
    assert len(album.files()) == 2


async def test_a_link_is_over_after_its_minutes(album: Album) -> None:
    (image,) = await album.deliver(PNG)
    token = album.link(image)
    album.desk.clock.turn(LINK_LIFE_S - 1)
    assert (await album.history.find(token)).left_s == 1
    album.desk.clock.turn(1)
    await missing(album, token)


async def test_whatever_is_wrong_with_a_link_is_answered_alike(album: Album) -> None:
    kept, lost, strange = await album.deliver(PNG, PNG, PNG)
    (unpaid,) = await album.keep(PNG)
    for path in album.files():
        if path.name == lost.id:
            path.unlink()
    tokens = (
        *("", "x", f"{album.link(kept)}x"),
        album.link(lost),
        album.link(unpaid),
        album.history.link("of another gateway", strange.id),
    )
    assert len({(await missing(album, token)).body() for token in tokens}) == 1


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_images_of_a_call_that_was_not_charged_are_not_in_the_history(album: Album, how: str) -> None:
    with trio.CancelScope() as scope:
        async with album.desk.meter.open_call(album.desk.principal, ask()) as call:
            await album.keep(PNG)
            if how == "cancelled":
                scope.cancel()
                await trio.lowlevel.checkpoint()
            await call.void("failed", "B6")
    assert await album.listed() == []


async def test_a_client_that_leaves_does_not_wait_for_the_disk(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.blobs._write", lambda *_: time.sleep(0.5))
    began = trio.current_time()
    with trio.move_on_after(0.05) as scope:
        await album.keep(PNG)
    assert scope.cancelled_caught
    assert trio.current_time() - began < 0.4


async def test_what_is_past_its_days_is_gone_before_it_is_swept_and_its_file_with_it(album: Album) -> None:
    (old,) = await album.deliver(PNG)
    album.desk.clock.turn(KEEP_DAYS * DAY_S - 60)
    (young,) = await album.deliver(PNG)
    assert await album.history.sweep() == 0
    album.desk.clock.turn(60)
    assert [image.id for image in await album.listed()] == [young.id]
    await missing(album, album.link(old))
    assert await album.history.sweep() == 1
    assert [path.name for path in album.files()] == [young.id]
    assert await album.history.sweep() == 0


async def test_a_file_without_a_row_goes_after_a_day_and_no_other(album: Album) -> None:
    (good,) = await album.deliver(PNG)
    _, young = await album.keep(PNG, PNG)
    stranger = replace(album.desk.principal, tenant_id="of-another-gateway")
    (theirs,) = await album.history.keep(stranger, "img-2", "lucid-origin", [drawn(PNG)])
    for path in album.files():
        if path.name != young.id:
            age = time.time() - STRAY_AFTER_S - 60
            os.utime(path, (age, age))
    assert await album.history.sweep_strays() == 1
    assert {path.name for path in album.files()} == {good.id, young.id, theirs.id}


async def test_nothing_is_kept_when_no_days_are(desk: Desk, tmp_path: Path) -> None:
    album = make_album(desk, tmp_path / "blobs", keep_days=0)
    assert await album.keep(PNG) == []
    assert album.files() == []


async def test_any_number_of_days_can_be_kept(desk: Desk, tmp_path: Path) -> None:
    album = make_album(desk, tmp_path / "blobs", keep_days=10**12)
    (image,) = await album.deliver(PNG)
    assert [each.id for each in await album.listed()] == [image.id]
    assert await album.history.sweep() == 0


async def keep_ill(album: Album, datas: Sequence[bytes]) -> tuple[list[StoredImage], list[str]]:
    with structlog.testing.capture_logs() as lines:
        kept = await album.keep(*datas)
    return kept, [line["event"] for line in lines]


async def test_a_disk_that_cannot_be_written_to_is_logged_and_harms_nobody(desk: Desk) -> None:
    album = make_album(desk, Path("/dev/null/blobs"))
    assert await keep_ill(album, [PNG]) == ([], ["images.not_kept"])
    assert await album.deliver(PNG) == []
    assert await desk.call("state", "charge") == ("posted", BILL.cost_ucr)


async def test_a_disk_that_fills_up_keeps_the_images_before(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, room = Blobs.keep, [1]

    async def filling(self: Blobs, tenant_id: str, image_id: str, data: bytes) -> None:
        if not room:
            raise OSError(28, "No space left on device")
        room.pop()
        await keep(self, tenant_id, image_id, data)

    monkeypatch.setattr(Blobs, "keep", filling)
    kept, events = await keep_ill(album, [PNG, b"more", b"and more"])
    assert ([image.bytes for image in kept], events) == ([len(PNG)], ["images.not_kept"])


async def test_a_disk_that_cannot_be_read_is_told_from_an_image_that_is_gone(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    (image,) = await album.deliver(PNG)
    monkeypatch.setattr("app.storage.blobs._read", broken)
    with pytest.raises(Problem) as caught:
        await album.show(album.link(image))
    assert (caught.value.code, caught.value.retry_after_s) == ("storage_unavailable", 1)


async def test_a_sweeper_goes_on_when_the_disk_is_ill(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    async def ill(_self: ImageHistory) -> int:
        tries.append(1)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("app.usecases.image_history.SWEEP_S", 0.01)
    monkeypatch.setattr(ImageHistory, "sweep", ill)
    with trio.move_on_after(0.2):
        await album.history.run_sweeper()
    assert len(tries) > 1
