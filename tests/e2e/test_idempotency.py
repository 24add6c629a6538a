"""An Idempotency-Key over the real server: on every billable route the same bytes again, run and charged once."""

from __future__ import annotations

from typing import Any, Final

import pytest
import trio
from anthropic import Anthropic
from anthropic.types import Message
from openai import OpenAI

from app.core import kept_reply
from app.core.idempotency import KEEP_US
from app.core.identity import now_us
from app.core.sealing import Sealer
from app.storage import idempotency, keys, ledger
from app.storage.keys import KeySettings
from tests.api.routes import BILLABLE, FORMS, GOOD, another, spent
from tests.databases import ON_BOTH
from tests.e2e.calling import CHAT, Caller, Json, change, elsewhere, question
from tests.e2e.keyed import HEADER, KEY, code, is_replay, send, shown
from tests.e2e.speaking import SPEECH, TRANSCRIPTIONS, recording
from tests.e2e.test_messages_sdk import with_sdk as with_anthropic
from tests.e2e.test_openai_sdk import say, with_sdk
from tests.house import RICH_UCR, SECRET, Customer

PATHS: Final = [path for _, path in BILLABLE]
#: Those that answer in a stream when they are asked to.
STREAMING: Final = [path for path in PATHS if path == CHAT or path.endswith(("/responses", "/messages"))]


def charges(caller: Caller, who: Customer) -> int:
    return len(spent(caller, who)["charges"])


def calls(caller: Caller, who: Customer) -> int:
    return len(spent(caller, who)["calls"])


@pytest.mark.parametrize("path", PATHS)
async def test_a_repeat_on_any_billable_route_shows_the_same_bytes_and_is_free(caller: Caller, path: str) -> None:
    who = another(caller, "Limited", rpm=1)
    first, again = await send(caller, path, who), await send(caller, path, who)
    assert (first.status_code, is_replay(first), is_replay(again)) == (200, False, True)
    assert shown(again) == shown(first)
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert (calls(caller, who), charges(caller, who), len(caller.upstream())) == (1, 1, 1)
    assert code(await send(caller, path, who, key="another")) == "rate_limit_exceeded"


@pytest.mark.parametrize("path", STREAMING)
async def test_a_stream_is_replayed_byte_by_byte(caller: Caller, path: str) -> None:
    first, again = [await send(caller, path, stream=True) for _ in range(2)]
    assert first.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (is_replay(first), is_replay(again)) == (False, True)
    assert shown(again) == shown(first)
    assert (charges(caller, caller.house.customer), len(caller.upstream())) == (1, 1)


@pytest.mark.parametrize("path", PATHS)
async def test_another_request_under_the_key_is_refused(caller: Caller, path: str) -> None:
    await send(caller, path)
    other: Json = {"prompt": "another"} if path in FORMS else {"user": "another"}
    reply = await send(caller, path, **other)
    assert (reply.status_code, code(reply), reply.headers["x-should-retry"]) == (409, "idempotency_key_reused", "false")
    assert charges(caller, caller.house.customer) == 1


@pytest.mark.parametrize("path", PATHS)
async def test_a_refusal_for_want_of_credits_is_not_kept(caller: Caller, path: str) -> None:
    poor = another(caller, "Poor", credit_ucr=0)
    assert code(await send(caller, path, poor)) == "insufficient_credits"
    elsewhere(caller.house, lambda db: ledger.credit(db, poor.tenant_id, "purchase", RICH_UCR, "topped up", now_us()))
    reply = await send(caller, path, poor)
    assert (reply.status_code, is_replay(reply), charges(caller, poor)) == (200, False, 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", ["[mock=500]", "[mock=error_mid] [pace=100]"])
async def test_a_providers_failure_is_not_kept_and_the_repeat_runs(caller: Caller, text: str, stream: bool) -> None:
    replies = [await caller.post(question(text, stream=stream), idempotency_key=KEY) for _ in range(2)]
    assert not any(map(is_replay, replies))
    assert replies[0].headers["x-generation-id"] != replies[1].headers["x-generation-id"]
    assert (calls(caller, caller.house.customer), charges(caller, caller.house.customer)) == (2, 0)


async def test_a_refusal_of_the_request_itself_is_given_again(caller: Caller) -> None:
    for text, wanted in (("[mock=content_policy]", "content_policy_violation"), ("hi", "model_not_found")):
        body = question(text, "kimi-k2.6" if text != "hi" else "no-such-model")
        first, again = [await caller.post(body, idempotency_key=text) for _ in range(2)]
        assert (code(first), shown(first)) == (wanted, shown(again))
        assert (is_replay(first), is_replay(again)) == (False, True)
    assert len(caller.upstream()) == 1


async def test_the_upload_makes_the_request_and_its_boundary_does_not(caller: Caller) -> None:
    first = await send(caller, TRANSCRIPTIONS)
    assert is_replay(await send(caller, TRANSCRIPTIONS))
    assert code(await send(caller, TRANSCRIPTIONS, file=recording(4001))) == "idempotency_key_reused"
    assert code(await send(caller, "/v1/audio/translations")) == "idempotency_key_reused"
    renamed = {"file": ("other.wav", recording(), "audio/wav")}
    reply = await caller.http.post(TRANSCRIPTIONS, data=FORMS[TRANSCRIPTIONS], files=renamed, headers={HEADER: KEY})
    assert code(reply) == "idempotency_key_reused"
    assert first.status_code == 200


async def test_a_twin_of_a_route_is_another_path(caller: Caller) -> None:
    await send(caller, "/v1/messages")
    reply = await send(caller, "/anthropic/v1/messages")
    assert (reply.status_code, code(reply), reply.json()["type"]) == (409, "idempotency_key_reused", "error")


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
async def test_a_repeat_while_the_first_runs_is_to_come_again_soon(caller: Caller, path: str) -> None:
    body = {**GOOD[path], "messages": question("[tokens=5] [pace=20]")["messages"]}
    async with caller.stream(body, path, idempotency_key=KEY) as stream:
        await anext(stream)
        reply = await caller.post({**body, "stream": True}, path, idempotency_key=KEY)
        assert (reply.status_code, code(reply)) == (409, "idempotency_in_progress")
        assert (reply.headers["retry-after"], reply.headers.get("x-should-retry")) == ("2", None)
        sent = await stream.rest()
    again = await caller.post({**body, "stream": True}, path, idempotency_key=KEY)
    assert (is_replay(again), again.content.endswith(sent)) == (True, True)


async def test_an_sdk_that_repeats_too_early_comes_again_by_itself(caller: Caller) -> None:
    texts: list[str | None] = []

    def ask(client: OpenAI) -> None:
        patient = client.with_options(max_retries=2)
        messages = say("[first=500] [tokens=5]")
        reply = patient.chat.completions.create(model="kimi-k2.6", messages=messages, extra_headers={HEADER: KEY})
        texts.append(reply.choices[0].message.content)

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(with_sdk, caller, ask)
    assert (len(texts), len(set(texts)), len(caller.upstream())) == (2, 1, 1)


@pytest.mark.parametrize("path", [CHAT, SPEECH])
async def test_an_answer_too_large_to_keep_is_charged_once_and_not_run_again(
    caller: Caller, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_reply, "LARGEST", 50)
    first, again = await send(caller, path), await send(caller, path)
    assert (first.status_code, code(again)) == (200, "idempotency_key_reused")
    assert f"{first.headers['x-generation-id']} was too large to keep" in again.json()["error"]["message"]
    assert (charges(caller, caller.house.customer), len(caller.upstream())) == (1, 1)


async def test_two_tenants_with_one_key_are_strangers(caller: Caller) -> None:
    stranger = another(caller, "Stranger")
    mine, theirs = await send(caller, CHAT), await send(caller, CHAT, stranger)
    assert (mine.status_code, theirs.status_code, is_replay(theirs)) == (200, 200, False)
    assert mine.json()["id"] != theirs.json()["id"]
    assert (charges(caller, caller.house.customer), charges(caller, stranger)) == (1, 1)


async def test_a_key_of_the_tenant_that_may_not_call_is_not_shown_an_answer(caller: Caller) -> None:
    tenant = caller.house.customer.tenant_id

    def make(name: str, **settings: Any) -> Customer:
        given = KeySettings(name, **settings)
        made = elsewhere(caller.house, lambda db: keys.create_key(db, tenant, SECRET.encode(), given, now_us()))
        return Customer(tenant, *made)

    narrow, second, bound = make("n", permissions="tts"), make("s"), make("b", allowed_domains="a.example")
    await send(caller, CHAT)
    assert is_replay(await send(caller, CHAT, second))
    assert code(await send(caller, CHAT, narrow)) == "permission_denied"
    caller.http.headers["origin"] = "https://b.example"
    assert code(await send(caller, CHAT, bound)) == "domain_not_allowed"
    elsewhere(caller.house, lambda db: keys.revoke_key(db, tenant, second.key_id))
    assert code(await send(caller, CHAT, second)) == "invalid_api_key"


async def test_a_key_is_forgotten_after_24_hours(caller: Caller) -> None:
    first = await send(caller, CHAT)
    at = now_us()
    ((expires_us,),) = caller.rows("SELECT expires_at FROM idempotency_keys")
    assert 0 <= at + KEEP_US - expires_us < 60_000_000
    change(caller.house, "UPDATE idempotency_keys SET expires_at = ?", at)
    second = await send(caller, CHAT)
    assert (is_replay(second), second.json()["id"] == first.json()["id"]) == (False, False)
    assert is_replay(await send(caller, CHAT))
    assert elsewhere(caller.house, lambda db: idempotency.sweep(db, at + 2 * KEEP_US, 10)) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel", "a\tb"])
async def test_a_bad_key_is_refused_before_anything_is_done(caller: Caller, key: str) -> None:
    reply = await caller.http.post(CHAT, json=question(), headers={HEADER.encode(): key.encode()})
    assert (reply.status_code, code(reply), reply.json()["error"]["param"]) == (400, "invalid_value", "Idempotency-Key")
    assert caller.upstream() == []


async def test_without_a_key_nothing_is_kept_and_with_one_it_is_sealed_for_the_tenant(caller: Caller) -> None:
    await caller.post(GOOD[CHAT])
    assert caller.rows("SELECT COUNT(*) FROM idempotency_keys") == [(0,)]
    reply = await send(caller, CHAT)
    ((row,),) = caller.rows("SELECT reply FROM idempotency_keys")
    sealer, tenant = Sealer(SECRET), caller.house.customer.tenant_id
    assert kept_reply.unpack_reply(200, sealer.open(row, f"{tenant} idempotent reply")).body == reply.content
    with pytest.raises(ValueError, match="not sealed"):
        sealer.open(row, "another idempotent reply")


@ON_BOTH
async def test_the_openai_sdk_parses_a_replay_as_it_parsed_the_answer(caller: Caller) -> None:
    def ask(client: OpenAI) -> list[Any]:
        key = {HEADER: KEY}
        streamed = {HEADER: "streamed"}
        whole = client.chat.completions.create(model="kimi-k2.6", messages=say("[tokens=5]"), extra_headers=key)
        chunks = client.chat.completions.create(
            model="kimi-k2.6", messages=say("[tokens=5]"), stream=True, extra_headers=streamed
        )
        response = client.responses.create(model="kimi-k2.6", input="[tokens=5]", extra_headers={HEADER: "response"})
        heard = client.audio.transcriptions.create(
            model="nova-3", file=("speech.wav", recording()), extra_headers={HEADER: "heard"}
        )
        sound = client.audio.speech.create(
            model="aura-2-en", voice="asteria", input="Good morning.", extra_headers={HEADER: "said"}
        )
        return [whole, list(chunks), response, heard, sound.content]

    first, again = [await with_sdk(caller, ask) for _ in range(2)]
    assert again == first
    assert len(first[1]) > 3
    assert (charges(caller, caller.house.customer), len(caller.upstream())) == (5, 5)


@ON_BOTH
async def test_the_anthropic_sdk_parses_a_replay_as_it_parsed_the_answer(caller: Caller) -> None:
    def ask(client: Anthropic) -> tuple[Message, Message]:
        asked: Any = {"model": "kimi-k2.6", "max_tokens": 50, "messages": say("[tokens=5]")}
        with client.messages.stream(**asked, extra_headers={HEADER: "streamed"}) as stream:
            final = stream.get_final_message()
        return client.messages.create(**asked, extra_headers={HEADER: KEY}), final

    first, again = [await with_anthropic(caller, ask) for _ in range(2)]
    assert again == first
    assert (charges(caller, caller.house.customer), len(caller.upstream())) == (2, 2)
