"""The catalog as a whole: documents and back, digests, extra models."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from catalog.catalog import Catalog
from catalog.documents import CatalogError
from catalog.models import Model, Route
from catalog.prices import Price
from tests.catalog.documents import Documents


def local_model(model_id: str, *, aliases: tuple[str, ...] = (), fallback: str | None = None) -> Model:
    return Model(
        id=model_id,
        owner="local",
        name=model_id,
        description="Served by our own machine.",
        category="llm",
        price=Price("tokens", 0),
        routes=(Route("local", model_id.partition("/")[2]),),
        context_window=8_192,
        free=True,
        aliases=aliases,
        fallback=fallback,
    )


def test_documents_read_back_give_the_same_catalog(catalog: Catalog, documents: Documents) -> None:
    again = documents.build()
    assert again.digest == catalog.digest
    assert (again.models, again.plans, again.rates) == (catalog.models, catalog.plans, catalog.rates)


def test_documents_survive_json(catalog: Catalog) -> None:
    stored = json.dumps([catalog.documents(), catalog.rates.document(), catalog.plan_documents()])
    models, rates, plans = json.loads(stored)
    assert Catalog.from_documents(models.values(), rates, plans).digest == catalog.digest


def test_the_order_of_rows_and_the_spelling_of_a_price_do_not_change_the_digest(
    catalog: Catalog, documents: Documents
) -> None:
    documents.models["glm-5.2"]["price"] = {"unit": "tokens", "input": "1.890000", "output": "5.94"}
    documents.models = dict(reversed(documents.models.items()))
    documents.plans = dict(reversed(documents.plans.items()))
    assert documents.build().digest == catalog.digest


@pytest.mark.parametrize(
    ("table", "entry", "key", "value"),
    [
        ("models", "glm-5.2", "status", "maintenance"),
        ("models", "glm-5.2", "price", {"unit": "tokens", "input": "1.890001", "output": "5.94"}),
        ("models", "glm-5.2", "price", {"unit": "tokens", "input": "1.89", "output": "5.94", "cached_input": "0.2"}),
        ("models", "melotts", "details", {"voices": ["default", "b"], "default_voice": "default"}),
        ("plans", "pro", "rpm", 3_001),
    ],
)
def test_any_change_of_content_changes_the_digest(
    catalog: Catalog, documents: Documents, table: str, entry: str, key: str, value: object
) -> None:
    getattr(documents, table)[entry][key] = value
    changed = documents.build()
    assert changed.digest != catalog.digest
    again = Catalog.from_documents(changed.documents().values(), changed.rates.document(), changed.plan_documents())
    assert again.digest == changed.digest


def test_the_exchange_rate_is_content(catalog: Catalog, documents: Documents) -> None:
    documents.rates["credits_per_usd"] = 84
    assert documents.build().digest != catalog.digest


def test_a_null_counts_as_absent(catalog: Catalog, documents: Documents) -> None:
    documents.models["glm-5.2"] |= {"fallback": None, "details": None, "created": None}
    assert documents.build().digest == catalog.digest


def test_a_price_in_cents_of_a_cent_stays_exact(documents: Documents) -> None:
    documents.models["glm-5.2"]["price"] = {"unit": "tokens", "input": "0.000001", "output": "1234567.891011"}
    price = documents.build().models["glm-5.2"].price
    assert (price.input_musd, price.output_musd) == (1, 1_234_567_891_011)


def test_extra_models_are_found_beside_the_others(catalog: Catalog) -> None:
    wider = catalog.with_models([local_model("local/llama-9", aliases=("llama",))])
    found = wider.resolve("LLAMA")
    assert found is not None
    assert found.model.id == "local/llama-9"
    assert wider.digest != catalog.digest
    assert "local/llama-9" not in catalog.models


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (local_model("KIMI-k2.5"), "extra models: KIMI-k2.5: id: is there twice"),
        (
            local_model("local/x", aliases=("whisper",)),
            "extra models: local/x: aliases: 'whisper' is the id of whisper",
        ),
        (local_model("whisper-1"), "extra models: whisper: aliases: 'whisper-1' is the id of whisper-1"),
        (local_model("local/x", fallback="y"), "extra models: local/x: fallback: 'y' is not in the catalog"),
    ],
)
def test_an_extra_model_cannot_take_a_name(catalog: Catalog, model: Model, fault: str) -> None:
    with pytest.raises(CatalogError) as caught:
        catalog.with_models([model])
    assert str(caught.value).startswith(fault)


def test_a_model_can_be_taken_out_of_service_and_put_back(catalog: Catalog) -> None:
    without = catalog.with_status({"kimi-k2.5": "disabled", "gone": "disabled"})
    assert [model.id for model in catalog.listed if model not in without.listed] == ["kimi-k2.5"]
    assert without.digest != catalog.digest
    assert without.with_status({"kimi-k2.5": "active"}).digest == catalog.digest


def test_what_is_listed_is_neither_disabled_nor_a_search_price(catalog: Catalog) -> None:
    hidden = catalog.models.keys() - {model.id for model in catalog.listed}
    assert hidden == {
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-4o-transcribe-diarize",
        "flux-1.1-pro",
        "nano-banana-pro",
        *(model_id for model_id in catalog.models if model_id.startswith("search:")),
    }


def test_an_entry_is_a_value(catalog: Catalog) -> None:
    model = catalog.models["bulbul:v3"]
    assert len({model, replace(model), replace(model, free=False)}) == 2
