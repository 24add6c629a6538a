"""Packs of credits that an organisation can buy: their type and how they are read."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.documents import Document


@dataclass(frozen=True, slots=True)
class Pack:
    """Whole credits for whole rupees."""

    id: str
    name: str
    credits: int
    price_inr: int

    def document(self) -> dict[str, str | int]:
        """The canonical form that `read_packs` reads back."""
        return {"id": self.id, "name": self.name, "credits": self.credits, "price_inr": self.price_inr}


def read_packs(document: Document, key: str) -> tuple[Pack, ...]:
    """The packs under `key` in the order of the file, none when absent; what is wrong with them is noted."""
    packs = tuple(_read_pack(table) for table in document.tables(key))
    ids = [pack.id for pack in packs]
    for pack_id in {each for each in ids if each and ids.count(each) > 1}:
        document.fault(key, f"has {pack_id!r} twice; write another id")
    return packs


def _read_pack(table: Document) -> Pack:
    pack = Pack(
        id=table.text("id", "credits-500"),
        name=table.text("name", "500 credits"),
        credits=table.whole("credits", 1),
        price_inr=table.whole("price_inr", 1),
    )
    table.close()
    return pack
