"""Links to images: good as they were made and until their time, and nothing else is one."""

from __future__ import annotations

import string
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.identity import new_id, new_uuid
from app.core.image_links import IMAGE_ID, ImageLink, ImageLinks

SECRET: Final = "a secret for tests only"
NOW_S: Final = 1_794_312_000
LINK: Final = ImageLink("0190a1b2-0000-7000-8000-000000000001", f"img_{'0' * 26}", NOW_S + 600)
LINKS: Final = ImageLinks(SECRET)
TOKEN: Final = LINKS.sign(LINK)


@given(st.integers(0, 2**40 * 1000))
def test_a_link_to_any_image_of_any_tenant_is_read_back(at_us: int) -> None:
    link = ImageLink(new_uuid(at_us), new_id("img_", at_us), NOW_S + 1)
    assert IMAGE_ID.fullmatch(link.image_id)
    assert LINKS.read(LINKS.sign(link), NOW_S) == link


def test_a_link_is_over_when_its_time_has_come() -> None:
    assert LINKS.read(TOKEN, LINK.expires_s - 1) == LINK
    assert LINKS.read(TOKEN, LINK.expires_s) is None


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_no_character_can_be_changed_or_left_out(place: int) -> None:
    for other in string.ascii_letters + string.digits + "-_.=/":
        changed = TOKEN[:place] + other + TOKEN[place + 1 :]
        assert (LINKS.read(changed, NOW_S) is None) == (changed != TOKEN)
    assert LINKS.read(TOKEN[:place] + TOKEN[place + 1 :], NOW_S) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "...",
        f"{TOKEN}=",
        f"{TOKEN}\n",
        f"{TOKEN}.",
        f" {TOKEN}",
        TOKEN.upper(),
        TOKEN.replace("0", "\N{ARABIC-INDIC DIGIT ZERO}"),
        f"../../etc/passwd.{LINK.image_id}.{LINK.expires_s}.{TOKEN[-43:]}",
        "a" * 100_000,
    ],
)
def test_what_is_no_link_is_refused(token: str) -> None:
    assert LINKS.read(token, NOW_S) is None


@given(st.text())
def test_no_text_is_a_link_by_chance(text: str) -> None:
    assert LINKS.read(text, NOW_S) is None


def test_a_link_made_with_another_secret_is_none() -> None:
    assert ImageLinks(f"{SECRET}!").read(TOKEN, NOW_S) is None


def test_parts_of_two_links_do_not_make_a_third() -> None:
    longer = ImageLink(LINK.tenant_id, LINK.image_id, LINK.expires_s + 600)
    theirs = ImageLink(LINK.tenant_id[:-1] + "2", LINK.image_id, LINK.expires_s)
    for other in (longer, theirs):
        mixed = LINKS.sign(other).rpartition(".")[0] + "." + TOKEN.rpartition(".")[2]
        assert LINKS.read(mixed, NOW_S) is None
