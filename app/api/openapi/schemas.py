"""JSON Schemas of types, as msgspec makes them, tidied for readers outside: shared ones are components."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Final

import msgspec

from app.api.openapi.described import Content, Json

REF: Final = "#/components/schemas/"
#: Where the project's own documents are cited in a docstring.
CITED: Final = re.compile(r"\s*\((?:[a-z_]+\.md|section)\b[^)]*\)")
OF_MODULE: Final = re.compile(r"^(?:[\w-]+\.)*([\w-]+?)(?:_fields)?\.(\w+)$")


class Schemas:
    """The schemas of all `types`; `components` are those that others refer to.

    `words` describe fields of Structs; the Structs in `untagged` are taken without their tag, too.
    """

    def __init__(
        self,
        types: Iterable[Any],
        words: Mapping[type, Mapping[str, str]] | None = None,
        untagged: Iterable[type[msgspec.Struct]] = (),
    ) -> None:
        wanted = list(dict.fromkeys(types))
        schemas, components = msgspec.json.schema_components(wanted, ref_template=REF + "{name}")
        names = {name: public_name(name) for name in components}
        if len(set(names.values())) != len(names):
            raise TypeError(f"two types would have one name: {sorted(names.values())}")
        self._names = names
        loose = {REF + self._name(struct) for struct in untagged}

        def renamed(ref: str) -> str:
            return REF + names[ref.removeprefix(REF)]

        self._of = {wish: tidy(schema, renamed, loose) for wish, schema in zip(wanted, schemas, strict=True)}
        self.components = {names[name]: tidy(schema, renamed, loose) for name, schema in sorted(components.items())}
        for struct in untagged:
            self.components[self._name(struct)]["required"].remove(struct.__struct_config__.tag_field)
        for struct, texts in (words or {}).items():
            fields = self.components[self._name(struct)]["properties"]
            fields |= {name: {**fields[name], "description": text} for name, text in texts.items()}

    def of(self, wish: Any) -> Json:
        """The schema of one of the types, a reference where it is a component."""
        return self._of[wish]

    def of_content(self, content: Content) -> Json:
        """Of a stream, that of each of its events."""
        if content.events:
            return _event(_either(map(self.of, content.events)), content.last)
        return _either(map(self.of, content.types)) if content.types else content.schema or {}

    def _name(self, struct: type) -> str:
        """The name of a Struct's component. Raises KeyError for one that is none."""
        names = self._names
        return names.get(struct.__name__) or names[f"{struct.__module__}.{struct.__qualname__}"]


def _either(schemas: Iterable[Json]) -> Json:
    each = list(schemas)
    return each[0] if len(each) == 1 else {"anyOf": each}


def _event(data: Json, last: str) -> Json:
    """A server-sent event, read as an object of its fields."""
    text: Json = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    if last:
        text = {"anyOf": [{"const": last}, text]}
    return {"type": "object", "properties": {"event": {"type": "string"}, "data": text}, "required": ["data"]}


def parameters_of(query: type) -> list[tuple[str, Json, bool]]:
    """Name, schema and whether it must be there, of each field of a query."""
    whole = Schemas([query]).components[query.__name__]
    required = whole.get("required", ())
    return [(name, without_null(schema), name in required) for name, schema in whole["properties"].items()]


def public_name(name: str) -> str:
    """The name of a component. Where two types share theirs, msgspec puts the module before it: its last word stays.

    The fields of a request are the request to readers.
    """
    match = OF_MODULE.match(name)
    if match is None:
        return name.removesuffix("Fields") + "Request" if name.endswith("Fields") else name
    words = "".join(word.title() for word in match[1].split("_"))
    return match[2] if match[2].startswith(words) else words + match[2]


def tidy(schema: Json, renamed: Callable[[str], str], loose: Set[str]) -> Json:
    """Without what only repeats the names or cites our own documents; patterns as ECMA-262 writes them.

    Nothing can be told by a tag where one of the choices is `loose`: it need not have it.
    """
    tidied: Json = {}
    for key, value in schema.items():
        match key, value:
            case ("title", _) | ("default", None):
                continue
            case "discriminator", {"mapping": dict(mapping)} if loose & set(map(renamed, mapping.values())):
                continue
            case "$ref", str():
                tidied[key] = renamed(value)
            case "discriminator", {"mapping": dict(mapping)}:
                tidied[key] = {**value, "mapping": {tag: renamed(ref) for tag, ref in mapping.items()}}
            case "description", str():
                tidied[key] = cite_nothing(value)
            case "pattern", str():
                tidied[key] = value.replace(r"\Z", "$")
            case "properties", dict():
                tidied[key] = {name: tidy(each, renamed, loose) for name, each in value.items()}
            case (("anyOf" | "allOf" | "oneOf" | "prefixItems"), list()):
                tidied[key] = [tidy(each, renamed, loose) for each in value]
            case (("items" | "additionalProperties" | "propertyNames"), dict()):
                tidied[key] = tidy(value, renamed, loose)
            case "enum", [str(), *_]:
                tidied |= {"type": "string", "enum": value}
            case _:
                tidied[key] = value
    return tidied


def without_null(schema: Json) -> Json:
    """For what cannot be null, such as a parameter that is left out instead."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if not choices:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**choices[0], **rest} if len(choices) == 1 else {**rest, "anyOf": choices}


def cite_nothing(text: str) -> str:
    """`text` without references to our own documents."""
    return CITED.sub("", text).strip()
