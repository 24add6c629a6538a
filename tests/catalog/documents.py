"""Documents that a test may break."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from catalog.catalog import Catalog


class Documents:
    """The seed's documents as plain tables; `build` reads what a test has made of them."""

    def __init__(self, catalog: Catalog) -> None:
        self.models: dict[str, dict[str, Any]] = deepcopy(catalog.documents())
        self.rates: dict[str, Any] = deepcopy(catalog.rates.document())
        self.plans: dict[str, dict[str, Any]] = deepcopy(catalog.plan_documents())
        self.more: list[dict[str, Any]] = []

    def build(self) -> Catalog:
        return Catalog.from_documents([*self.models.values(), *self.more], self.rates, self.plans)
