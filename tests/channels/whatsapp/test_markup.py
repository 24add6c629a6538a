"""Markdown as WhatsApp marks it: each rule of the channel, and what must come through untouched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.whatsapp.markup import to_whatsapp

#: What Markdown is made of, often enough side by side that every rule is met.
MARKDOWN = st.lists(
    st.sampled_from(
        [
            *("*", "**", "***", "_", "__", "~~", "`", "```", "````", "~~~", "#", "## ", "- ", "+ ", "1. ", "2) ", "> "),
            *("[", "]", "(", ")", "![", "](", "<", ">", "<b>", "</div>", "<br>", "<!--", "-->", "&amp;", "&#0;", "\\"),
            *("|", "|-|", "---", "===", "\n", "\n\n", "\r\n", "\r", "\t", "    ", " ", "a", "word", "é", "क्षि", "漢字"),
            *(
                "😀",
                "👨‍👩‍👧",
                "🇮🇳",
                "https://x.example/a_b*c",
                "https://",
                "://",
                "\0",
                "\ud800",
                "\u2028",
                "!",
                ".",
                "5*3",
            ),
        ]
    )
    | st.text(max_size=5),
    max_size=60,
).map("".join)


@pytest.mark.parametrize(
    ("markdown", "marked"),
    [
        ("**b** and __b__", "*b* and *b*"),
        ("*i* and _i_", "_i_ and _i_"),
        ("~~s~~", "~s~"),
        ("***both***", "_*both*_"),
        ("**b *i* b**", "*b _i_ b*"),
        ("**b **b** b**", "*b b b*"),
        ("**one\ntwo**", "*one*\n*two*"),
        ("# Title", "*Title*"),
        ("### A **bold** title #", "*A bold title*"),
        ("Title\n=====", "*Title*"),
        ("one\ntwo\n---\nthree", "one\ntwo\n\nthree"),
        ("[t](https://u.example)", "t (https://u.example)"),
        ("[**t**](https://u.example)", "*t* (https://u.example)"),
        ("[https://u.example](https://u.example)", "https://u.example"),
        ("[u.example](https://u.example/)", "https://u.example/"),
        ("<https://u.example/a%20b>", "https://u.example/a%20b"),
        ("[a@b.example](mailto:a@b.example) or <a@b.example>", "a@b.example or a@b.example"),
        ("![a](https://u.example/i.png)", "a: https://u.example/i.png"),
        ("![](https://u.example/i.png)", "https://u.example/i.png"),
        ("* a\n+ b\n- c", "- a\n- b\n- c"),
        ("* a\n* b", "- a\n- b"),
        ("- a\n  - b\n    - c\n- d", "- a\n  - b\n    - c\n- d"),
        ("3. c\n4. d", "3. c\n4. d"),
        ("1) a\n2) b\n   - c", "1) a\n2) b\n   - c"),
        ("1. a\n\n2. b", "1. a\n\n2. b"),
        ("So:\n- a\n- b", "So:\n- a\n- b"),
        ("> q\n> r", "> q\n> r"),
        ("a\n\n---\n\nb\n***\nc", "a\n\nb\n\nc"),
        ("<div>Hello <b>you</b></div><br>there<!-- no -->", "Hello you\nthere"),
        ("a &amp; b \\*c\\*", "a & b *c*"),
        ("  \n\n a \n\n\n\n b \n ", "a\n\nb"),
        ("", ""),
        ("---", ""),
    ],
)
def test_markdown_becomes_what_whatsapp_shows(markdown: str, marked: str) -> None:
    assert to_whatsapp(markdown) == marked


def test_a_table_is_a_line_for_each_row() -> None:
    table = "| Item | Price | Note |\n|:--|--:|---|\n| **Tea** | ₹20 | |\n| Coffee | ₹40 | hot |"
    assert to_whatsapp(table) == "Item: *Tea* · Price: ₹20\nItem: Coffee · Price: ₹40 · Note: hot"


def test_a_table_of_heads_alone_keeps_them() -> None:
    assert to_whatsapp("| a | b |\n|---|---|") == "a · b"


@pytest.mark.parametrize(
    "plain",
    [
        "5*3*2 = 30 and 2**3**4",
        "x**2 + y**2 = z",
        "snake_case_name and a_b_",
        "3 * 4 * 5",
        "https://x.example/a_b_c/*d*?q=__e__&copy=1",
        "(see https://x.example/wiki/A_(b)_c)",
        "Dear <your name>, your code is <code_here>",
        "if a < b and c > d",
        "[note]: this is kept",
        "#tag and C# and +91 98765 43210",
        "¯_(ツ)_/¯",
        "Bill: 20%\nTip: 10%",
    ],
)
def test_plain_text_is_not_damaged(plain: str) -> None:
    assert to_whatsapp(plain) == plain


def test_scripts_without_spaces_are_marked_within_a_word() -> None:
    assert to_whatsapp("这是**重点**内容 यह**ज़रूरी**है") == "这是*重点*内容 यह*ज़रूरी*है"


@pytest.mark.parametrize("code", ["`**a** _b_ <b> &amp;`", "``a`b``", "```\n# **x**  \n\n    <b>&amp;</b> \\*\n```"])
def test_code_is_not_touched(code: str) -> None:
    assert to_whatsapp(code) == code


def test_a_fence_loses_its_language_and_is_closed_when_the_model_was_cut_off() -> None:
    assert to_whatsapp("~~~python\nx = 1") == "```\nx = 1\n```"


def test_code_in_a_list_or_quote_is_not_indented() -> None:
    assert to_whatsapp("- a\n  ```\n  x\n    y\n  ```\n- b") == "- a\n```\nx\n  y\n```\n- b"
    assert to_whatsapp("> ```\n> x\n> ```") == "```\nx\n```"


@given(markdown=MARKDOWN)
def test_any_text_is_converted_and_trimmed(markdown: str) -> None:
    marked = to_whatsapp(markdown)
    assert marked == marked.strip()


@given(before=MARKDOWN, code=st.text(st.characters(exclude_characters="`\r\0\n"), min_size=1))
def test_code_is_kept_whatever_stands_before_it(before: str, code: str) -> None:
    quiet = before.replace("`", "").replace("~", "").replace("<", "")
    lines = to_whatsapp(f"{quiet}\n\n```\n{code}\n```").split("\n")
    assert lines[-3:] == ["```", code, "```"]


@given(words=st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1, max_size=30))
def test_words_come_through_as_they_are(words: list[str]) -> None:
    assert to_whatsapp(" ".join(words)) == " ".join(words)


@pytest.mark.parametrize(
    "hostile", ["[", "![", "> ", "- ", "**a ", "_a__b", "`", "<a ", "<!--", "[a](", "|", "\\", "~~"]
)
def test_a_reply_of_nothing_but_signs_is_survived(hostile: str) -> None:
    to_whatsapp(hostile * 1000)
