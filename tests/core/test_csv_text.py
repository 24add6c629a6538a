"""CSV for spreadsheets: what goes in comes out, and nothing in it is run."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.csv_text import FORMULA, csv_text

CELLS = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]))


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=5))
def test_a_reader_of_csv_reads_what_was_written(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    assert [[cell.removeprefix("'") for cell in row] for row in read] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]


@pytest.mark.parametrize("begin", FORMULA)
def test_a_text_that_a_spreadsheet_would_run_is_made_a_text(begin: str) -> None:
    (row,) = csv.reader(io.StringIO(csv_text([[f"{begin}cmd|' /C calc'!A0", "a=b"]]), newline=""))
    assert row == [f"'{begin}cmd|' /C calc'!A0", "a=b"]


def test_numbers_stay_numbers_and_nothing_is_empty() -> None:
    assert csv_text([[-1, 0.5, None, "a,b", 'say "hi"']]) == '-1,0.5,,"a,b","say ""hi"""\r\n'


@pytest.mark.parametrize(
    ("number", "written"), [(2.5e-05, "0.000025"), (2e-08, "0.00000002"), (1e16, "10000000000000000")]
)
def test_a_number_is_written_out_as_a_spreadsheet_of_any_language_reads_it(number: float, written: str) -> None:
    assert csv_text([[number]]) == f"{written}\r\n"
