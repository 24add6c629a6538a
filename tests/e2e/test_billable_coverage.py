"""No route may spend money unproven: each billable one is left, reconciled, receipted and driven by an official SDK."""

from __future__ import annotations

from typing import Final

import pytest

from tests.api.routes import BILLABLE
from tests.e2e import cancel_cells, routed_cells, test_receipts, test_routed_reconciliation, test_sdks
from tests.e2e.crowd import SHARES

#: Proof -> the paths that it is given for.
PROOFS: Final = {
    "its clients leave it in every phase": {
        *(surface.path for surface, *_ in cancel_cells.SURFACE_CELLS),
        *(route.path for route, *_ in routed_cells.CELLS),
    },
    "its rows are held against the providers' book": {
        *(surface.path for surface in SHARES),
        *(spec.route.path for spec in test_routed_reconciliation.specs(rounds=1)),
    },
    "its receipts are read": {name.removesuffix(" unstreamed") for name in test_receipts.ASKS},
    "an official SDK drives it": {path for _, path in test_sdks.driven()},
}
PATHS: Final = {path for _, path in BILLABLE}


@pytest.mark.parametrize("proof", PROOFS)
def test_every_billable_route_has_this_proof(proof: str) -> None:
    assert PATHS - PROOFS[proof] == set()


def test_what_is_proven_is_billable() -> None:
    """Else a route that was renamed would go on being proven under the name that nobody serves."""
    proven = set().union(*(paths for proof, paths in PROOFS.items() if "SDK" not in proof))
    assert proven - PATHS == set()
