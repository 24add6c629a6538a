"""What may be sent on WhatsApp, as far as that can be told from the request alone."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.decode import convert
from app.core.errors import Problem
from app.core.whatsapp_api import (
    NewMedia,
    NewText,
    check_address,
    check_media,
    check_size,
    interactive_text,
)

IMAGE = {"to": "+919876543210", "kind": "image", "link": "https://example.com/a.jpg"}


@pytest.mark.parametrize("to", ["+919876543210", "US.13491208655302741918"])
def test_somebody_is_named_by_phone_or_by_id(to: str) -> None:
    check_address(convert({"to": to, "text": "a"}, NewText))


@pytest.mark.parametrize(
    "to", ["919876543210", "+0123456789", "+91 98765 43210", "+1234567890123456", "us.1", "+1234567\n"]
)
def test_what_is_no_phone_and_no_id_names_nobody(to: str) -> None:
    with pytest.raises(Problem) as refused:
        convert({"to": to, "text": "a"}, NewText)
    assert refused.value.param == "to"


@pytest.mark.parametrize(
    "link", ["http://example.com/a", "https://127.0.0.1/a", "https://[::1]/a", "ftp://a.io/a", "a"]
)
def test_a_link_that_leads_to_no_public_host_is_refused_by_its_own_name(link: str) -> None:
    with pytest.raises(Problem) as refused:
        check_media(convert({**IMAGE, "link": link}, NewMedia))
    assert refused.value.param == "link"
    assert "url" not in refused.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"kind": "audio", "caption": "a"}, "caption"), ({"kind": "image", "filename": "a.pdf"}, "filename")],
)
def test_words_that_nobody_would_see_are_refused(fields: dict[str, str], param: str) -> None:
    with pytest.raises(Problem) as refused:
        check_media(convert({**IMAGE, **fields}, NewMedia))
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("interactive", "text"),
    [
        ({"type": "button", "body": {"text": "Right?"}, "action": {}}, "Right?"),
        ({"type": "product", "action": {}}, "[product]"),
        ({"type": "list", "body": ["?"], "action": {}}, "[list]"),
    ],
)
def test_a_menu_is_read_as_its_words(interactive: dict[str, Any], text: str) -> None:
    assert interactive_text(interactive) == text


@pytest.mark.parametrize("interactive", [{}, {"type": 7, "action": {}}, {"type": "button"}, {"type": "", "action": {}}])
def test_a_menu_without_its_parts_is_refused(interactive: dict[str, Any]) -> None:
    with pytest.raises(Problem, match="interactive"):
        interactive_text(interactive)


def test_an_object_larger_than_any_provider_takes_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        check_size([{"text": "a" * 40_000}], "components")
    assert refused.value.param == "components"
