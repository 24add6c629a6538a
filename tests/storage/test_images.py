"""Rows of images: listed newest first without a gap, by tenant, until their time is over."""

from __future__ import annotations

import pytest

from app.core.times import Place
from app.storage import images
from app.storage.database import Transaction
from app.storage.images import StoredImage
from app.storage.strays import strays
from tests.databases import ON_BOTH
from tests.storage.making import DAY_0, make_image, make_tenant

pytestmark = ON_BOTH
EVER = 0


@pytest.fixture
def tenant_id(db: Transaction) -> str:
    return make_tenant(db, "Acme")


def pages(db: Transaction, tenant_id: str, limit: int) -> list[list[StoredImage]]:
    """All of them, as a client that follows the cursor sees them."""
    found: list[list[StoredImage]] = []
    before = None
    while page := images.page(db, tenant_id, before, EVER, limit):
        found.append(page)
        before = Place(page[-1].created_us, page[-1].id)
    return found


def test_an_image_comes_back_as_it_was_stored_first(db: Transaction, tenant_id: str) -> None:
    images.store(db, tenant_id, make_image("img_1"))
    images.store(db, tenant_id, make_image("img_1", DAY_0 + 1))
    assert images.find(db, tenant_id, "img_1", EVER) == make_image("img_1")
    assert images.page(db, tenant_id, None, EVER, 10) == [make_image("img_1")]


def test_images_of_one_moment_are_paged_without_a_gap(db: Transaction, tenant_id: str) -> None:
    for number in range(45):
        images.store(db, tenant_id, make_image(f"img_{number:02}", DAY_0 + number // 15))
    for limit in (1, 7, 15, 45, 100):
        found = pages(db, tenant_id, limit)
        assert [image.id for page in found for image in page] == [f"img_{number:02}" for number in range(44, -1, -1)]
        assert {len(page) for page in found[:-1]} <= {limit}


def test_a_time_takes_in_what_was_before_it(db: Transaction, tenant_id: str) -> None:
    for number in range(3):
        images.store(db, tenant_id, make_image(f"img_{number}", DAY_0 + number))
    assert [image.id for image in images.page(db, tenant_id, Place(DAY_0 + 2, ""), EVER, 10)] == ["img_1", "img_0"]


def test_what_is_past_its_time_is_neither_listed_nor_found_and_is_swept_away(db: Transaction, tenant_id: str) -> None:
    for number in range(5):
        images.store(db, tenant_id, make_image(f"img_{number}", DAY_0 + number))
    since = DAY_0 + 2
    assert [image.id for image in images.page(db, tenant_id, None, since, 10)] == ["img_4", "img_3"]
    assert images.find(db, tenant_id, "img_2", since) is None
    assert images.sweep(db, since, 2) == [(tenant_id, "img_0"), (tenant_id, "img_1")]
    assert images.sweep(db, since, 2) == [(tenant_id, "img_2")]
    assert images.sweep(db, since, 2) == []


def test_another_tenant_neither_lists_nor_finds_them(db: Transaction, tenant_id: str) -> None:
    stranger = make_tenant(db, "Stranger")
    images.store(db, tenant_id, make_image("img_1"))
    assert images.page(db, stranger, None, EVER, 10) == []
    assert images.find(db, stranger, "img_1", EVER) is None


def test_strays_are_ids_without_a_row_of_a_tenant_that_is_ours(db: Transaction, tenant_id: str) -> None:
    images.store(db, tenant_id, make_image("img_1"))
    assert strays(db, tenant_id, "images", ["img_0", "img_1", "img_2"]) == ["img_0", "img_2"]
    assert strays(db, tenant_id, "images", []) == []
    assert strays(db, "of another gateway", "images", ["img_0"]) == []
