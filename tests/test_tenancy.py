"""Every storage function takes the tenant: no statement can forget whose rows it means (design.md, invariant 6)."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import app.storage
from app.storage.database import EVERY_TENANT

#: What may look across tenants, and why.
EXCEPTIONS = {
    "catalog": dict.fromkeys(
        ("stored_digest", "stored_documents", "compare", "store", "set_digest"), "the catalog is one for all tenants"
    ),
    "channel_sums": {
        **dict.fromkeys(
            ("sums", "_inbox", "_letters", "_lanes", "_sends", "_numbers_in_error", "connected"),
            "numbers for the operator",
        ),
        "refused": "what the operator's doctor finds; whose it is comes back with each",
    },
    "conversation_ages": {"quiet": "which conversations may be over; whose they are comes back with each"},
    "dead_letters": {
        "page_of_all": "what the operator's script lists; whose it is comes back with each",
        "sweep": "deletes what is past its time, whose ever it is; says how many",
    },
    "deliveries": {
        "give_up": "fails what has waited for too long, whose ever it is; says how many",
        "sweep": "deletes what is past its time, whose ever it is; says how many",
    },
    "images": {"sweep": "deletes what is past its time, whose ever it is; tells whose, so that its file goes too"},
    "inbox": {
        "waiting": "any process sorts what waits; whose it is comes back with each",
        "sweep": "deletes what is past its time, whose ever it is; says how many",
    },
    "invitations": {
        "find_invited": "the digest of an invitation tells the tenant",
        "sweep": "deletes what is over, whose ever it is; says how many",
    },
    "key_expiry": {"untold": "which keys have expired; whose they are comes back with each"},
    "keys": {
        "find_principal": "the digest of a credential tells the tenant",
        "knows_digest": "a key names its tenant, so it must be new among all of them; says yes or no",
    },
    "idempotency": {"sweep": "deletes what is past its time, whose ever it is; says how many"},
    "ledger": {
        "expired": "the sweeper ends the holds of dead processes, whose they are comes back with each",
        "broken_tenants": "the check of the books goes through all of them, and names tenants only",
        "open_holds": "three numbers for the operator",
    },
    "lanes": dict.fromkeys(
        ("due", "next_due", "silent", "touched"),
        "any process answers whoever waits; whose they are comes back with each",
    ),
    "media": {"sweep": "deletes what is past its time, whose ever it is; tells whose, so that its file goes too"},
    "members": {"find_by_email": "an address belongs to one tenant, as a credential does"},
    "migrations": dict.fromkeys(("schema_version", "migrate_job", "moved_to"), "the schema is one for all tenants"),
    "numbers": {
        **dict.fromkeys(("whose", "whose_id", "whose_business"), "the number that a webhook came for tells the tenant"),
        "knows_verify_digest": "a webhook is subscribed with some number's token; says yes or no",
    },
    "outbox": {"queues": "which webhooks have something to send; whose they are comes back with each"},
    "responses": {"sweep": "deletes what is past its time, whose ever it is; says how many"},
    "postgres_role": {"unbound_role": "who we are to the database; reads no row of ours"},
    "send_queue": {
        "queues": "which numbers have something to send; whose they are comes back with each",
        "overdue": "what nobody has heard of for too long; whose it is comes back with each",
        "to_charge": "what has arrived and is to be paid for; whose it is comes back with each",
    },
    "sessions": {
        **dict.fromkeys(("find_visitor", "find_session"), "the digest of a credential tells the tenant"),
        "sweep": "deletes what is over, whose ever it is; says how many",
    },
    "throttles": dict.fromkeys(("take", "sweep"), "who tries to come in is of no tenant yet"),
    "tenants": {
        "upsert_tenant": "makes the tenant",
        "find_tenant": "finds the tenant by its name, for seeds",
        "tenant_ids": "the watch over the books goes from one tenant to the next",
        "knows_email": "an address belongs to one tenant, so it must be new among all of them; says yes or no",
    },
}

ROOT: Final = Path(__file__).resolve().parents[1]
#: Where the product reads and writes without naming a tenant, and why.
EVERY_TENANT_PLACES: Final = {
    "app/doctor.py": dict.fromkeys(("_database", "_channels"), "the operator's look at everything"),
    "app/monitoring.py": {"Monitoring.__init__": "reads the catalog's digest, which is one for all"},
    "app/storage/migrations.py": {"migrate": "the schema is one for all tenants"},
    "app/storage/recount.py": {"recount_all": "which tenants there are; each is then counted by itself"},
    "app/storage/moving_target.py": {"Target._begin": "a whole database moves, with all its tenants"},
    "app/storage/postgres_batch.py": {"lock_key": "such jobs take turns with each other"},
    "app/usecases/access.py": {"Access._load": "the digest of a credential tells the tenant"},
    "app/usecases/accounts.py": {
        "Accounts.register": "an address and a name are new among all; says yes or no",
        "Accounts.login": "an address belongs to one tenant, as a credential does",
        "Accounts.accept": "the digest of an invitation tells the tenant",
        "Accounts.sweep": "deletes sessions and invitations that are over, whose ever they are",
    },
    "app/usecases/books.py": {
        "BooksWatch.count": "three numbers for the operator",
        "BooksWatch.go_round": "which tenants there are; each is then looked at by itself",
    },
    "app/usecases/channel_watch.py": {"ChannelWatch.look": "numbers for the operator"},
    "app/usecases/image_history.py": {"ImageHistory.sweep": "deletes what is past its time, whose ever it is"},
    "app/usecases/idempotency.py": {"Idempotency.sweep": "deletes what is past its time, whose ever it is"},
    "app/usecases/deliveries.py": {"Deliveries._look": "what is due; each is then taken up within its tenant"},
    "app/usecases/models.py": dict.fromkeys(("Models.open", "Models.run_reloader"), "the catalog is one for all"),
    "app/usecases/outbox_upkeep.py": {
        "OutboxUpkeep.tell_of_expired_keys": "which keys have expired; each is then told of within its tenant",
        "OutboxUpkeep.give_up": "fails what has waited for too long, whose ever it is",
        "OutboxUpkeep.sweep": "deletes what is past its time, whose ever it is",
    },
    "app/usecases/responses.py": {"Responses.sweep": "deletes what is past its time, whose ever it is"},
    "app/usecases/sessions.py": dict.fromkeys(
        ("Sessions.check", "Sessions.close"), "the digest of a credential tells the tenant"
    ),
    "app/usecases/settling.py": {"Settler._expired": "which holds are due; whose they are comes back with each"},
    "channels/inbound/dead_letters.py": {
        "DeadLetters.page_of_all": "what the operator's script lists; whose it is comes back with each",
        "DeadLetters.replay": "the operator's letters: by now the number tells whose",
    },
    "channels/inbound/intake.py": {
        "Intake.verify_shared": "says yes or no",
        "Intake.take_shared_meta": "the number that a webhook came for tells the tenant",
        "Intake.take_shared_twilio": "the number that a webhook came for tells the tenant",
        "Intake._number": "the number in the URL tells the tenant",
    },
    "channels/inbound/keeping.py": {"keep": "what one webhook brought for many tenants is kept as a whole"},
    "channels/answering/lanes.py": {"Lanes._look": "what is due; each is then answered within its tenant"},
    "channels/media.py": {"MediaStore.sweep": "deletes what is past its time, whose ever it is"},
    "channels/outbound/reconciling.py": {"Reconciler.look": "what is overdue; each is then settled in its tenant"},
    "channels/outbound/senders.py": {"Senders._look": "what is due; each is then taken up within its tenant"},
    "channels/outbound/template_charges.py": {
        "TemplateCharges.look": "what is to be paid; each is charged in its tenant"
    },
    "channels/inbound/sorter.py": {"Sorter._look": "what waits; it is then sorted within its tenant"},
    "channels/conversations/upkeep.py": {
        "ChannelUpkeep.end_idle": "which conversations may be over; each is then ended within its tenant",
        "ChannelUpkeep.sweep_inbox": "deletes what is past its time, whose ever it is",
        "ChannelUpkeep.sweep_letters": "deletes what is past its time, whose ever it is",
    },
    "channels/numbers/connections.py": {"Connections._confirm": "a number is one tenant's among all; says yes or no"},
    "scripts/launching/demo.py": dict.fromkeys(("open_demo", "_works"), "whose the key in run.json is, if anybody's"),
    "scripts/seeding/target.py": {"Target.write": "a seed file makes many tenants, all of them or none"},
    "scripts/seeding/write.py": {"_hash_new_passwords": "an address belongs to one tenant among all"},
}
PRODUCT: Final = ("app", "channels", "scripts/launching", "scripts/seeding")


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


def every_tenant_places(source: str) -> set[str]:
    """The functions that name `EVERY_TENANT`, or what it stands for as the scope of a read or a write."""
    found: set[str] = set()

    def walk(node: ast.AST, within: tuple[str, ...]) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            within = (*within, node.name)
        if _is_every_tenant(node):
            found.add(".".join(within))
        for child in ast.iter_child_nodes(node):
            walk(child, within)

    walk(ast.parse(source), ())
    return found


def _is_every_tenant(node: ast.AST) -> bool:
    match node:
        case ast.Name(id="EVERY_TENANT", ctx=ast.Load()) | ast.Attribute(attr="EVERY_TENANT"):
            return True
        case ast.Call(func=ast.Attribute(attr="read" | "write"), args=[ast.Constant(value=scope), *_]):
            return scope == EVERY_TENANT
    return False


def test_only_listed_places_look_across_tenants() -> None:
    found = {
        str(path.relative_to(ROOT)): places
        for folder in PRODUCT
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (places := every_tenant_places(path.read_text()))
    }
    assert found == {path: set(reasons) for path, reasons in EVERY_TENANT_PLACES.items()}


def test_a_place_that_looks_across_tenants_would_be_found() -> None:
    careless = (
        'class A:\n    async def b(self): return await db.read("*", job)\n',
        "def c(): run(partial(db.write, database.EVERY_TENANT))\n",
        "async def d(): await db.write(tenant_id, job)\n",
    )
    assert every_tenant_places("".join(careless)) == {"A.b", "c"}
