"""Every storage function takes the tenant: no statement can forget whose rows it means (design.md, invariant 6)."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import app.storage

#: What may look across tenants, and why.
EXCEPTIONS = {
    "catalog": dict.fromkeys(
        ("stored_digest", "stored_documents", "compare", "store", "set_digest"), "the catalog is one for all tenants"
    ),
    "keys": {
        "find_principal": "the digest of a credential tells the tenant",
        "knows_digest": "a key names its tenant, so it must be new among all of them; says yes or no",
    },
    "ledger": {
        "expired": "the sweeper ends the holds of dead processes, whose they are comes back with each",
        "broken_tenants": "the check of the books goes through all of them, and names tenants only",
    },
    "migrations": dict.fromkeys(("schema_version", "migrate_job"), "the schema is one for all tenants"),
    "tenants": {
        "upsert_tenant": "makes the tenant",
        "find_tenant": "finds the tenant by its name, for seeds",
        "knows_email": "an address belongs to one tenant, so it must be new among all of them; says yes or no",
    },
}


def storage_modules() -> Iterator[ModuleType]:
    for each in pkgutil.walk_packages(app.storage.__path__, "app.storage."):
        yield importlib.import_module(each.name)


def jobs(module: ModuleType) -> Iterator[tuple[str, list[str]]]:
    """Functions of the module that are given a transaction, with the names of the arguments after it."""
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if function.__module__ == module.__name__ and (after := after_transaction(function)) is not None:
            yield name, after


def after_transaction(function: Callable[..., Any]) -> list[str] | None:
    parameters = list(inspect.signature(function).parameters.values())
    places = [at for at, each in enumerate(parameters) if each.annotation in {"Transaction", "SqliteTransaction"}]
    return [each.name for each in parameters[places[0] + 1 :]] if places else None


def without_tenant(modules: Iterator[ModuleType]) -> dict[str, set[str]]:
    """Jobs whose next argument after the transaction is not the tenant, by module."""
    found = {
        each.__name__.rpartition(".")[2]: {name for name, rest in jobs(each) if rest[:1] != ["tenant_id"]}
        for each in modules
    }
    return {name: names for name, names in found.items() if names}


def test_every_storage_function_takes_the_tenant_after_the_transaction() -> None:
    allowed = {module: set(reasons) for module, reasons in EXCEPTIONS.items()}
    assert without_tenant(storage_modules()) == allowed


def test_the_check_sees_the_functions_it_is_there_for() -> None:
    seen = {name for module in storage_modules() for name, _ in jobs(module)}
    assert {"admit", "extend", "end", "credit", "balance", "find_call", "revoke_key", "upsert_member"} <= seen


def test_a_function_without_a_tenant_would_be_found() -> None:
    module = ModuleType("app.storage.careless")
    source = "def read_all(db: 'Transaction', call_id: str) -> None: ..."
    exec(compile(source, "careless", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - our own line
    assert without_tenant(iter([module])) == {"careless": {"read_all"}}


def test_an_argument_called_tenant_is_never_optional() -> None:
    loose = [
        f"{module.__name__}.{name}"
        for module in storage_modules()
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if (tenant := inspect.signature(function).parameters.get("tenant_id")) is not None
        and tenant.default is not inspect.Parameter.empty
    ]
    assert loose == []
