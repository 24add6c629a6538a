"""docs/whatsapp.md says what is so: every field of a bot with its default and bounds, every code, every setting."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from app.config import FIELDS
from app.core.bot_config import BotConfig, HttpTool, TemplateChoice
from app.core.webhooks import signature
from app.providers.whatsapp import graph_errors, twilio_errors
from channels.numbers.number_views import FRAGMENT, WEBHOOKS
from channels.whatsapp.text_form import MOST_PARTS, PART_LIMITS

ROOT: Final = Path(__file__).resolve().parents[1]
HANDBOOK: Final = (ROOT / "docs/whatsapp.md").read_text()
#: What the rows of its tables begin with: `| name | default | bounds |`.
ROWS: Final = frozenset(re.findall(r"^(\| `\w+` \| [^|\n]* \| [^|\n]* \|)", HANDBOOK, re.MULTILINE))
SETTINGS: Final = frozenset(name for name, *_ in FIELDS)


def default_of(field: inspect.Field) -> str:
    if field.required:
        return "needed"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{msgspec.json.encode(value).decode()}`"


def bounds_of(kind: inspect.Type) -> str:  # noqa: PLR0911 - one for each kind of value
    match kind:
        case inspect.UnionType(types=(inner, inspect.NoneType())):
            return f"{bounds_of(inner)} or null"
        case inspect.IntType(ge=least, le=most) | inspect.FloatType(ge=least, le=most):
            return f"{least:,} to {most:,}" if least is not None and most is not None else "number"
        case inspect.StrType(pattern=str(pattern)):
            return f"`{pattern}`"
        case inspect.StrType(max_length=most):
            return "text" if most is None else f"text, at most {most:,}"
        case inspect.ListType(max_length=most):
            return "list" if most is None else f"list, at most {most}"
        case inspect.LiteralType(values=values):
            return " ".join(f"`{value}`" for value in sorted(map(str, values)))
        case inspect.BoolType():
            return "true or false"
    return "object"


def rows_of(of: type[msgspec.Struct]) -> Iterator[str]:
    """What the table must say of its fields."""
    told = inspect.type_info(of)
    assert isinstance(told, inspect.StructType)
    for field in told.fields:
        yield f"| `{field.name}` | {default_of(field)} | {bounds_of(field.type)} |"


@pytest.mark.parametrize("row", [row for of in (BotConfig, HttpTool, TemplateChoice) for row in rows_of(of)])
def test_every_field_is_there_with_its_default_and_bounds(row: str) -> None:
    assert row in ROWS


def test_no_field_is_there_that_a_bot_does_not_have() -> None:
    assert {row for of in (BotConfig, HttpTool, TemplateChoice) for row in rows_of(of)} == ROWS


@pytest.mark.parametrize(("heading", "kinds"), [("Meta", graph_errors.KINDS), ("Twilio", twilio_errors.KINDS)])
def test_the_table_of_codes_tells_of_every_code_by_what_is_done_about_it(heading: str, kinds: dict[int, str]) -> None:
    table = HANDBOOK.partition(f"### Codes of {heading}\n")[2].partition("\n#")[0]
    told: dict[int, str] = {}
    for codes, kind in re.findall(r"^\| ([\d, –]+) \| `(\w+)` \|", table, re.MULTILINE):
        for first, last in re.findall(r"(\d+)(?:–(\d+))?", codes):
            told |= dict.fromkeys(range(int(first), int(last or first) + 1), kind)
    assert told == kinds


def test_it_names_only_settings_and_files_that_exist() -> None:
    assert set(re.findall(r"`([A-Z]+_[A-Z_]+)`", HANDBOOK)) <= SETTINGS
    for name in re.findall(r"\]\(([\w./-]+\.md)", HANDBOOK):
        assert (ROOT / "docs" / name).exists(), name


def test_the_urls_are_those_that_are_given_out() -> None:
    for url in WEBHOOKS.values():
        assert url.format("{number_id}") in HANDBOOK
    assert FRAGMENT in HANDBOOK


def test_the_figures_of_texts_are_those_of_the_code() -> None:
    assert f"{PART_LIMITS['meta']:,} characters at Meta, {PART_LIMITS['twilio']:,} at Twilio" in HANDBOOK
    assert f"at most {MOST_PARTS} parts" in HANDBOOK


def test_its_check_of_a_signature_takes_ours_and_no_other() -> None:
    (code,) = re.findall(r"```python\n(import hmac.*?)```", HANDBOOK, re.DOTALL)
    module = types.ModuleType("example")
    exec(code, module.__dict__)  # noqa: S102 - our own handbook
    is_ours: Callable[[str, bytes, str], bool] = module.__dict__["is_ours"]
    body, secret = '{"thing":"चाय"}'.encode(), "a-secret-of-the-tools"
    assert is_ours(secret, body, signature(secret, body))
    assert not is_ours(secret, body + b" ", signature(secret, body))
    assert not is_ours("another-secret-of-theirs", body, signature(secret, body))
    assert not is_ours(secret, body, "")


def test_a_bound_that_changes_is_missed_in_the_handbook() -> None:
    changed: Any = msgspec.defstruct("Changed", [("max_tokens", int, 2048)])
    assert not set(rows_of(changed)) & ROWS
