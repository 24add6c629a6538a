"""Seed files as documents: TOML, JSON and CSV all become drafts of tenants, whose values nobody has judged yet."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from catalog.documents import Document, Fault

#: The CSV columns: `kind` and `tenant` in every row, the others where the kind has them.
COLUMNS: Final = (
    *("kind", "tenant", "name", "plan", "monthly_budget", "email", "full_name", "role", "password", "key"),
    *("permissions", "scopes", "allowed_models", "allowed_domains", "allowed_search_providers"),
    *("rpm", "budget", "expires_in_days"),
    *("ref", "amount", "note"),
)
WHOLE: Final = ("rpm", "expires_in_days")
_SHORT_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Draft:
    """One tenant as it stands in the file."""

    tenant: Document
    members: list[Document] = field(default_factory=list)
    keys: list[Document] = field(default_factory=list)
    grants: list[Document] = field(default_factory=list)


def read_drafts(path: Path, faults: list[Fault]) -> list[Draft]:
    """The tenants of a file; its suffix says how it is written. What cannot be read at all goes to `faults`."""
    try:
        match path.suffix.lower():
            case ".toml":
                text = path.read_text(encoding="utf-8")
                return _from_table(path.name, tomllib.loads(text, parse_float=Decimal), faults)
            case ".json":
                text = path.read_text(encoding="utf-8")
                return _from_table(path.name, json.loads(text, parse_float=Decimal), faults)
            case ".csv":
                return _from_rows(path, faults)
        message = "has an unknown format; name it .toml, .json or .csv"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    except (ValueError, csv.Error) as error:
        message = f"is not valid {path.suffix[1:].upper()}; correct it: {error}"
    faults.append(Fault(path.name, "-", "-", message))
    return []


def _from_table(source: str, values: object, faults: list[Fault]) -> list[Draft]:
    top = Document(source, "-", values, faults)
    drafts = []
    for place, table in _listed(top, "tenants"):
        name = table.get("name") if isinstance(table, Mapping) else None
        tenant = Document(source, name if isinstance(name, str) and name else place, table, faults)
        drafts.append(Draft(tenant, *(_nested(tenant, kind) for kind in ("members", "keys", "grants"))))
    top.close()
    return drafts


def _nested(tenant: Document, kind: str) -> list[Document]:
    return [
        Document(tenant.source, f"{tenant.entry}.{place}", table, tenant.faults)
        for place, table in _listed(tenant, kind)
    ]


def _listed(document: Document, key: str) -> list[tuple[str, object]]:
    """The tables of a list, each with its place, such as `keys[0]`."""
    value = document.get(key)
    if not isinstance(value, list | None):
        document.fault(key, f"is {value!r}; write a list of tables")
        return []
    return [(f"{key}[{index}]", table) for index, table in enumerate(value or ())]


def _from_rows(path: Path, faults: list[Fault]) -> list[Draft]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restkey="", restval="")
        header = reader.fieldnames or ()
        for column in header:
            if column not in COLUMNS:
                faults.append(Fault(path.name, "line 1", column, f"is no column; use {', '.join(COLUMNS)}"))
        for column in ("kind", "tenant"):
            if column not in header:
                faults.append(Fault(path.name, "line 1", column, "is missing; every row needs it"))
        rows = [] if faults else [(f"line {reader.line_num}", _stripped(row)) for row in reader]
    drafts: dict[str, Draft] = {}
    for entry, row in rows:
        if row["kind"] == "tenant":
            document = _row(path.name, entry, row, faults)
            if row["tenant"] in drafts:
                document.fault("tenant", "stands in an earlier row too; keep one")
            else:
                drafts[row["tenant"]] = Draft(document)
    for entry, row in rows:
        if row["kind"] != "tenant":
            _place(_row(path.name, entry, row, faults), row, drafts)
    return list(drafts.values())


def _stripped(row: Mapping[str, str | list[str]]) -> dict[str, str]:
    """The row without blanks around its cells; more cells than columns are one cell without a name."""
    return {name: cell.strip() if isinstance(cell, str) else ",".join(cell) for name, cell in row.items()}


def _place(document: Document, row: Mapping[str, str], drafts: Mapping[str, Draft]) -> None:
    draft = drafts.get(row["tenant"])
    if draft is None:
        document.fault("tenant", f"is {row['tenant']!r}, which no row of kind tenant has; add one")
        return
    match row["kind"]:
        case "member":
            draft.members.append(document)
        case "key":
            draft.keys.append(document)
        case "grant":
            draft.grants.append(document)
        case kind:
            document.fault("kind", f"is {kind!r}; write tenant, member, key or grant")


def _row(source: str, entry: str, row: Mapping[str, str], faults: list[Fault]) -> Document:
    """The cells that are filled, without `kind` and `tenant`; a tenant's name is what `tenant` says."""
    if "" in row:
        faults.append(Fault(source, entry, "-", 'has more cells than columns; put cells with commas into "..."'))
    values: dict[str, object] = {
        name: int(cell) if name in WHOLE and _SHORT_NUMBER.fullmatch(cell) else cell
        for name, cell in row.items()
        if cell and name not in ("", "kind", "tenant")
    }
    if row["kind"] == "tenant" and row["tenant"]:
        values["name"] = row["tenant"]
    return Document(source, entry, values, faults)
