"""Packs of credits: read in the order of the file, kept with the rates, each fault named."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.catalog import Catalog
from catalog.documents import CatalogError
from catalog.packs import Pack
from tests.catalog.documents import Documents

ONE = {"id": "small", "name": "Small", "credits": 10, "price_inr": 9}


@pytest.fixture
def documents(catalog: Catalog) -> Documents:
    return Documents(catalog)


def test_the_packs_of_the_seed_cost_a_rupee_a_credit(catalog: Catalog) -> None:
    assert catalog.rates.packs
    assert all(pack.price_inr == pack.credits for pack in catalog.rates.packs)


def test_a_catalog_without_packs_sells_none(documents: Documents) -> None:
    del documents.rates["packs"]
    assert documents.build().rates.packs == ()


def test_a_pack_is_read_as_it_is_written(documents: Documents) -> None:
    before = documents.build().digest
    documents.rates["packs"] = [ONE]
    built = documents.build()
    assert built.rates.packs == (Pack("small", "Small", 10, 9),)
    assert built.digest != before


@pytest.mark.parametrize(
    ("packs", "fault"),
    [
        ([{**ONE, "credits": 0}], "rates: rates: packs[0].credits: is 0; write a whole number of at least 1"),
        ([{**ONE, "price_inr": 9.5}], "rates: rates: packs[0].price_inr: is 9.5; write a whole number"),
        ([{**ONE, "id": ""}], "rates: rates: packs[0].id: is ''; write a string such as \"credits-500\""),
        ([{**ONE, "bonus": 1}], "rates: rates: packs[0].bonus: is not a known key"),
        ([ONE, ONE], "rates: rates: packs: has 'small' twice; write another id"),
        (ONE, "rates: rates: packs: is {'id': 'small'"),
    ],
)
def test_a_broken_pack_is_named(documents: Documents, packs: Any, fault: str) -> None:
    documents.rates["packs"] = packs
    with pytest.raises(CatalogError) as caught:
        documents.build()
    assert [str(each)[: len(fault)] for each in caught.value.faults] == [fault]
