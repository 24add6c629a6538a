"""Rows as CSV that a spreadsheet opens as data: quoted as RFC 4180 says, and nothing in it is taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

#: A cell that begins with one of these is a formula to a spreadsheet; after an apostrophe it is a text.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """The lines of these rows; None is an empty cell. Only texts can be formulas: numbers are ours."""
    out = io.StringIO()
    csv.writer(out).writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    match value:
        case str() if value.startswith(FORMULA):
            return f"'{value}"
        case float():  # 2e-08 would be a text to some spreadsheets
            return f"{Decimal(repr(value)):f}"
    return value
