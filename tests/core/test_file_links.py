"""Links to files: good as they were made and until their time, and nothing else is one."""

from __future__ import annotations

import string
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.file_links import IMAGE_ID, MEDIA_ID, FileLink, image_links, media_links
from app.core.identity import new_id, new_uuid

SECRET: Final = "a secret for tests only"
NOW_S: Final = 1_794_312_000
LINK: Final = FileLink("0190a1b2-0000-7000-8000-000000000001", f"img_{'0' * 26}", NOW_S + 600)
LINKS: Final = image_links(SECRET)
TOKEN: Final = LINKS.sign(LINK)


@given(st.integers(0, 2**40 * 1000))
def test_a_link_to_any_file_of_any_tenant_is_read_back(at_us: int) -> None:
    for links, prefix, file_id in ((LINKS, "img_", IMAGE_ID), (media_links(SECRET), "med_", MEDIA_ID)):
        link = FileLink(new_uuid(at_us), new_id(prefix, at_us), NOW_S + 1)
        assert file_id.fullmatch(link.file_id)
        assert links.read(links.sign(link), NOW_S) == link


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
        f"../../etc/passwd.{LINK.file_id}.{LINK.expires_s}.{TOKEN[-43:]}",
        "a" * 100_000,
    ],
)
def test_what_is_no_link_is_refused(token: str) -> None:
    assert LINKS.read(token, NOW_S) is None


@given(st.text())
def test_no_text_is_a_link_by_chance(text: str) -> None:
    assert LINKS.read(text, NOW_S) is None


def test_a_link_made_with_another_secret_is_none() -> None:
    assert image_links(f"{SECRET}!").read(TOKEN, NOW_S) is None


def test_what_is_signed_as_one_kind_is_no_link_of_the_other() -> None:
    media = FileLink(LINK.tenant_id, f"med_{'0' * 26}", LINK.expires_s)
    assert media_links(SECRET).read(LINKS.sign(media), NOW_S) is None
    assert media_links(SECRET).read(media_links(SECRET).sign(LINK), NOW_S) is None
    assert media_links(SECRET).read(media_links(SECRET).sign(media), NOW_S) == media


def test_parts_of_two_links_do_not_make_a_third() -> None:
    longer = FileLink(LINK.tenant_id, LINK.file_id, LINK.expires_s + 600)
    theirs = FileLink(LINK.tenant_id[:-1] + "2", LINK.file_id, LINK.expires_s)
    for other in (longer, theirs):
        mixed = LINKS.sign(other).rpartition(".")[0] + "." + TOKEN.rpartition(".")[2]
        assert LINKS.read(mixed, NOW_S) is None
