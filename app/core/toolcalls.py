"""Upstream tool-call fragments, however numbered, as calls 0..n-1 that SDKs can add up (compat.md C4 to C6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from app.core.chunks import Malformed, WireCall
from app.core.deltas import ToolDelta

_encode = msgspec.json.Encoder().encode


class _Call(msgspec.Struct, gc=False):
    """`id` is the upstream's, or ours once the call was announced without one."""

    id: str
    name: str
    arguments: list[str]
    known: bool = False
    index: int | None = None


class ToolCalls:
    """The calls of one choice. An id is the surest name of a call, then the upstream's index, then being the latest.

    Each call is announced once its name is known, and takes the next index then; `opened` counts the announced ones.
    """

    __slots__ = ("_by_id", "_by_index", "_calls", "_latest", "_new_id", "opened")

    def __init__(self, new_id: Callable[[], str]) -> None:
        self.opened = 0
        self._new_id = new_id
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}
        self._latest: _Call | None = None

    def feed(self, fragments: list[WireCall]) -> list[ToolDelta]:
        """What the fragments add; those of one call leave as one, as older SDKs take a first list as it is."""
        deltas: dict[int, ToolDelta] = {}
        for fragment in fragments:
            delta = self._add(fragment)
            if delta is None:
                continue
            if delta.index in deltas:
                deltas[delta.index].arguments += delta.arguments
            else:
                deltas[delta.index] = delta
        return list(deltas.values())

    def close(self) -> list[ToolDelta]:
        """`{}` for each call that never got arguments (C6). Raises Malformed for a call that never got a name."""
        deltas = []
        for call in self._calls:
            if call.index is None:
                raise Malformed("a tool call without a name")
            if not "".join(call.arguments).strip():
                call.arguments.append("{}")
                deltas.append(ToolDelta(call.index, "{}"))
        return deltas

    def _add(self, fragment: WireCall) -> ToolDelta | None:
        function = fragment.function
        name = function.name if function is not None and isinstance(function.name, str) else ""
        arguments = _text(function.arguments) if function is not None else ""
        call = self._call_of(fragment, name, arguments)
        call.name = call.name or name
        if arguments:
            call.arguments.append(arguments)
        if call.index is None and call.name:
            call.index = self.opened
            self.opened += 1
            call.id = call.id or self._new_id()
            return ToolDelta(call.index, "".join(call.arguments), call.id, call.name)
        return ToolDelta(call.index, arguments) if call.index is not None and arguments else None

    def _call_of(self, fragment: WireCall, name: str, arguments: str) -> _Call:
        index = fragment.index if isinstance(fragment.index, int) else None
        call_id = fragment.id if isinstance(fragment.id, str) else ""
        call = self._by_id.get(call_id)
        if call is None:
            call = self._latest if index is None else self._by_index.get(index)
            if call is None or _is_another(call, call_id, name, arguments):
                call = _Call("", name, [])
                self._calls.append(call)
            if call_id:
                call.id, call.known = call.id or call_id, True
                self._by_id[call_id] = call
        if index is not None:
            self._by_index[index] = call
        self._latest = call
        return call


def _is_another(call: _Call, call_id: str, name: str, arguments: str) -> bool:
    """Whether a fragment in `call`'s place begins a new call.

    An unknown id does, unless it is the late id of a call that has none. Without an id a second name does if it
    differs, or if the arguments so far are whole and more follow: some servers send whole calls and number none.
    """
    if call_id and call.known:
        return True
    if not name or not call.name:
        return False
    return bool(call_id) or name != call.name or (bool(arguments) and _is_whole(call.arguments))


def _is_whole(arguments: list[str]) -> bool:
    if not arguments or not arguments[-1].rstrip().endswith("}"):
        return False
    try:
        return isinstance(msgspec.json.decode("".join(arguments)), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _text(arguments: Any) -> str:
    """Arguments as SDKs need them: a string; an object becomes its JSON, null nothing (C6)."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else _encode(arguments).decode()
