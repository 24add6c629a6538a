"""What to ask of each list, read off `/openapi.json` and a page of it: pages here and there, each filter, each pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final
from urllib.parse import urlencode

Json = dict[str, Any]
#: Parameters that say where in a list, not of what.
PLACES: Final = frozenset({"before", "limit", "offset"})
#: Ends of a stretch of time.
TIMES: Final = frozenset({"start", "end"})


@dataclass(frozen=True, slots=True)
class List:
    """One list of the API, by its path; `parameters` are those of its query, with their schemas."""

    path: str
    parameters: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `what` is what a reader of the table needs to know of it."""

    what: str
    query: Mapping[str, str]

    @property
    def suffix(self) -> str:
        return f"?{urlencode(self.query)}" if self.query else ""


def lists_of(document: Json, base: str) -> list[List]:
    """Everything under `base` that answers with pages."""
    found = []
    for path, methods in document["paths"].items():
        operation = methods.get("get")
        if operation is not None and path.startswith(base) and _has_cursor(operation, document):
            parameters = {each["name"]: each["schema"] for each in operation["parameters"] if each["in"] == "query"}
            found.append(List(path, parameters))
    return found


def _has_cursor(operation: Json, document: Json) -> bool:
    reply = operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in reply:
        reply = document["components"]["schemas"][reply["$ref"].rpartition("/")[2]]
    return "next_cursor" in reply.get("properties", {})


def pages_of(one: List, middle: str) -> list[Ask]:
    """The first page, one in the middle of the time, the largest, and the deepest by offset."""
    asks = [Ask("first page", {}), Ask("from the middle", {"before": middle})]
    for name in ("limit", "offset"):
        if name in one.parameters:
            largest = str(one.parameters[name]["maximum"])
            asks.append(Ask(f"{name}={largest}", {name: largest}))
    return asks


def filters_of(one: List, rows: Sequence[Json], middle: str) -> list[Ask]:
    """Each filter alone, with each value that its type or these rows tell."""
    return [
        Ask(f"{name}={value[:24]}", {name: value})
        for name, schema in one.parameters.items()
        if name not in PLACES
        for value in _values(name, schema, rows, middle)
    ]


def pairs_of(filters: Sequence[Ask]) -> Iterator[Ask]:
    """Two filters at once, each with one of its values: the last, which is the rarest as often as not."""
    by_name = {next(iter(ask.query)): ask for ask in filters}
    for one, other in combinations(by_name.values(), 2):
        yield Ask(f"{one.what} & {other.what}", {**one.query, **other.query})


def _values(name: str, schema: Json, rows: Sequence[Json], middle: str) -> list[str]:
    if name in TIMES:
        return [middle]
    for each in schema.get("anyOf", [schema]):
        if "enum" in each:
            return [str(value) for value in each["enum"]]
        if each.get("type") == "boolean":
            return ["true", "false"]
        if "maximum" in each:
            return [str(each["minimum"]), str(each["maximum"])]
    seen = [str(row[name]) for row in rows if row.get(name) is not None]
    return sorted(set(seen), key=seen.count, reverse=True)[:: max(1, len(set(seen)) - 1)][:2]
