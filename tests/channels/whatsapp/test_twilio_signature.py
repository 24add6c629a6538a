"""The signature of Twilio's webhooks. The package's own validator is the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # it ships no types

from channels.whatsapp.twilio import signed

TOKEN = "12345"
HOST = "https://mycompany.com"
URL = f"{HOST}/myapp.php?foo=1&bar=2"
CALL = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
]
CALL_SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
SIGNED = [
    (URL, CALL, CALL_SIGNATURE),
    (URL.replace(".com", ".com:443"), CALL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
    (
        URL,
        [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")],
        "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
    ),
    (URL, [], "zYQTYrRWXE7LtzbG4PfP7/bkkGo="),
    (
        "https://example.com/api/v1/webhooks/twilio/whatsapp",
        [("Body", "नमस्ते 👋"), ("From", "whatsapp:+919876543210"), ("NumMedia", "0")],
        "f+jy5wAjHqV7AMz5ojZ/FOv7yuI=",
    ),
    (f"https://example.com/hook?bodySHA256={HASH}", [], "8zP4BSOTLR1x1Op1u6j899rpPJU="),
    ("wss://example.com/v1/channels/twilio/stream/abc", [], "DBuhJXGB8efzMvu5Ooi3gE5hf5E="),
]


@pytest.mark.parametrize(("url", "params", "signature"), SIGNED)
def test_the_vectors_of_the_wire_document_are_signed(url: str, params: list[tuple[str, str]], signature: str) -> None:
    assert signed([TOKEN], url, params, signature)
    assert signed([TOKEN], url, params[::-1], signature)
    assert not signed(["54321"], url, params, signature)
    assert not signed([TOKEN], url + "x", params, signature)
    assert not signed([TOKEN], url, [*params, ("More", "")], signature)


@pytest.mark.parametrize("url", [URL, URL.replace(".com", ".com:443")])
@pytest.mark.parametrize("signature", [CALL_SIGNATURE, SIGNED[1][2]])
def test_the_default_port_may_be_written_or_not_on_either_side(url: str, signature: str) -> None:
    assert signed([TOKEN], url, CALL, signature)


def test_another_host_or_scheme_is_another_request() -> None:
    assert not signed([TOKEN], URL.replace("mycompany", "other"), CALL, CALL_SIGNATURE)
    assert not signed([TOKEN], URL.replace("https", "http"), CALL, CALL_SIGNATURE)


@pytest.mark.parametrize("fragment", ["", "#rc=3&rp=all&ct=2000&rt=4000&tt=15000"])
def test_the_configured_fragment_may_be_signed_or_not(fragment: str) -> None:
    signature = RequestValidator(TOKEN).compute_signature(URL + fragment, dict(CALL))
    assert signed([TOKEN], f"{URL}#rc=3&rp=all&ct=2000&rt=4000&tt=15000", CALL, signature)


def test_any_token_will_do_but_an_empty_one() -> None:
    assert signed(["old", TOKEN], URL, CALL, CALL_SIGNATURE)
    of_nothing = RequestValidator("").compute_signature(URL, dict(CALL))
    assert not signed([""], URL, CALL, of_nothing)
    assert not signed([], URL, CALL, of_nothing)


@pytest.mark.parametrize("header", [None, "", CALL_SIGNATURE.lower(), CALL_SIGNATURE[:-1], "é\ud800", "a" * 10_000])
def test_a_header_that_is_missing_or_not_exact_signs_nothing(header: str | None) -> None:
    assert not signed([TOKEN], URL, CALL, header)


def test_what_cannot_be_written_in_utf_8_was_never_signed() -> None:
    assert not signed([TOKEN], URL, [("Body", "\ud800")], CALL_SIGNATURE)
    assert not signed(["\ud800"], URL, CALL, CALL_SIGNATURE)


@pytest.mark.parametrize("url", ["", "mycompany.com/x", "https://", "https://[::1]:8443/x", "https://a:99999/x"])
def test_an_odd_url_is_taken_as_it_is(url: str) -> None:
    signature = RequestValidator(TOKEN).compute_signature(url, dict(CALL))
    assert signed([TOKEN], url, CALL, signature)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(
    params=st.dictionaries(TEXTS, TEXTS, max_size=6),
    path=st.from_regex(r"/[a-z0-9/%.]{0,12}(\?[a-z0-9=&%+]{1,12})?", fullmatch=True),
    port=st.sampled_from(["", ":443", ":8443"]),
)
def test_what_the_package_takes_is_taken(params: dict[str, str], path: str, port: str) -> None:
    validator = RequestValidator(TOKEN)
    for written in ("", ":443", ":8443"):
        signature = validator.compute_signature(f"{HOST}{written}{path}", params)
        url = f"{HOST}{port}{path}"
        assert signed([TOKEN], url, [*params.items()], signature) == validator.validate(url, params, signature)
