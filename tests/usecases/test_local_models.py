"""What a self-hosted server lists becomes models, however carelessly it lists them."""

from __future__ import annotations

from app.usecases.local_models import local_models
from catalog.catalog import Catalog


def test_a_model_that_is_listed_twice_is_one_model() -> None:
    models = local_models([{"id": "llama"}, {"id": "Llama"}, {"id": "llama"}, {"id": ""}, "junk", {}])
    assert [model.id for model in models] == ["local/llama"]
    assert "local/llama" in Catalog.load().with_models(models).models
