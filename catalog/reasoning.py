"""What happens to `reasoning_effort` before the upstream call: the seed's matrix, row by row (spec.md section 5.5)."""

from __future__ import annotations

from typing import Final, Literal, get_args

ReasoningRow = Literal["off-able", "low-floor", "drop", "forward"]
ROWS: Final[tuple[ReasoningRow, ...]] = get_args(ReasoningRow)
#: The five values a bare id takes; a slash id takes any and its model judges.
EFFORTS: Final = ("none", "minimal", "low", "medium", "high")

#: What is not listed for a row is sent as is.
_CHANGES: Final[dict[ReasoningRow, dict[str, str | None]]] = {
    "off-able": {"minimal": "none"},
    "low-floor": {"none": "low", "minimal": "low"},
    "drop": dict.fromkeys(EFFORTS),
    "forward": {},
}


def clamp(row: ReasoningRow, effort: str) -> str | None:
    """The value to send, or None when the field is removed.

    Raises ValueError for a value outside `EFFORTS` on any row but `forward`: the surface has answered 400 before.
    """
    if row != "forward" and effort not in EFFORTS:
        raise ValueError(f"reasoning_effort {effort!r} is not one of {', '.join(EFFORTS)}")
    return _CHANGES[row].get(effort, effort)
