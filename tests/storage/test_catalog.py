"""The catalog in the database: what storing changes, and that it comes back as it was."""

from __future__ import annotations

import pytest

from app.storage import catalog as stored
from app.storage.database import Transaction
from app.usecases import models
from catalog.catalog import Catalog
from catalog.documents import CatalogError

OLD = {"a": {"price": "1"}, "b": {"price": "2"}, "c": {"price": "3"}}
NEW = {"a": {"price": "1"}, "b": {"price": "9"}, "d": {"price": "4"}}


def test_storing_makes_the_entries_equal_and_says_what_changed(db: Transaction) -> None:
    assert stored.store(db, "model", OLD).added == ("a", "b", "c")
    wanted = stored.compare(db, "model", NEW)
    assert (wanted.added, wanted.changed, wanted.removed) == (("d",), ("b",), ("c",))
    assert stored.stored_documents(db, "model") == OLD
    assert stored.store(db, "model", NEW) == wanted
    assert stored.stored_documents(db, "model") == NEW
    assert not stored.store(db, "model", NEW)


def test_kinds_do_not_touch_each_other(db: Transaction) -> None:
    stored.store(db, "model", OLD)
    stored.store(db, "plan", {"a": {"rpm": 1}})
    stored.store(db, "model", {})
    assert stored.stored_documents(db, "plan") == {"a": {"rpm": 1}}
    assert stored.stored_documents(db, "model") == {}


def test_a_digest_is_unknown_until_it_is_set_and_then_the_last_one(db: Transaction) -> None:
    assert stored.stored_digest(db) is None
    for digest in ("one", "two"):
        stored.set_digest(db, digest)
        assert stored.stored_digest(db) == digest


def test_the_seeded_catalog_is_the_one_that_is_loaded(db: Transaction) -> None:
    catalog = Catalog.load()
    changes = models.seed(db, catalog)
    assert set(changes["model"].added) == set(catalog.models)
    assert models.load(db).digest == catalog.digest == stored.stored_digest(db)
    assert not any(models.seed(db, catalog).values())


def test_a_model_without_a_price_in_the_database_cannot_load(db: Transaction) -> None:
    models.seed(db, Catalog.load())
    documents = stored.stored_documents(db, "model")
    del documents["kimi-k2.5"]["price"]
    stored.store(db, "model", documents)
    with pytest.raises(CatalogError, match=r"kimi-k2\.5: price"):
        models.load(db)


def test_an_empty_database_holds_no_catalog(db: Transaction) -> None:
    with pytest.raises(CatalogError):
        models.load(db)
