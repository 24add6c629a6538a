"""Every cell of the seed's reasoning matrix."""

from __future__ import annotations

import pytest

from catalog.catalog import Catalog
from catalog.reasoning import EFFORTS, clamp

#: Per model: what is sent for none, minimal, low, medium, high; "-" means the field is removed.
MATRIX = {
    "kimi-k2.5 kimi-k2.5-fast kimi-k2.6 kimi-k2.7-code gemma-4-26b-a4b-it": "none none low medium high",
    "gpt-oss-120b nemotron-3-super glm-4.7-flash glm-5.2 sarvam-30b sarvam-105b": "low low low medium high",
    "mistral-small-3.1": "- - - - -",
    "auto openrouter/auto openai/gpt-5.4 anthropic/claude-sonnet-4.6": "none minimal low medium high",
}
CELLS = [
    (model_id, effort, None if sent == "-" else sent)
    for ids, row in MATRIX.items()
    for model_id in ids.split()
    for effort, sent in zip(EFFORTS, row.split(), strict=True)
]


@pytest.mark.parametrize(("model_id", "effort", "sent"), CELLS)
def test_the_matrix_says_what_is_sent(catalog: Catalog, model_id: str, effort: str, sent: str | None) -> None:
    assert clamp(catalog.models[model_id].reasoning, effort) == sent


def test_a_value_outside_the_five_is_forwarded_where_the_model_judges() -> None:
    assert clamp("forward", "xhigh") == "xhigh"


@pytest.mark.parametrize("row", ["off-able", "low-floor", "drop"])
def test_a_value_outside_the_five_never_passes_a_bare_id(row: str) -> None:
    with pytest.raises(ValueError, match="'xhigh' is not one of none, minimal"):
        clamp(row, "xhigh")  # type: ignore[arg-type]
