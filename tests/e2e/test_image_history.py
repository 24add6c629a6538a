"""GET /v1/images/history: what was delivered and paid for, for its own tenant, for a while."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec
import openai
import pytest
import trio

from app.core.identity import new_id, now_us
from app.storage import images
from app.storage.blobs import Blobs
from app.storage.database import Transaction
from scripts.simulator.media import PNG
from tests.databases import ON_BOTH
from tests.e2e.calling import Caller, elsewhere, open_caller
from tests.e2e.drawing import FILES, GENERATIONS, HISTORY, draw, fetch, history, listed
from tests.e2e.leaving import leave
from tests.house import add_customer
from tests.storage.making import make_image

CREDIT: Final = 1_000_000
FIELDS: Final = (
    *("id", "url", "model", "size", "prompt", "negative_prompt", "revised_prompt", "seed", "steps", "created"),
)


@ON_BOTH
async def test_what_the_sdk_drew_is_listed_newest_first_and_opens_without_a_key(caller: Caller) -> None:
    async with openai.AsyncOpenAI(base_url=f"{caller.house.url}/v1", api_key=caller.house.customer.key) as sdk:
        await sdk.images.generate(model="lucid-origin", prompt="first", n=2, size="1024x512", extra_body={"seed": 7})
        await sdk.images.generate(model="flux-2-pro", prompt="second")
    rows = await listed(caller)
    assert [tuple(row) for row in rows] == [FIELDS] * 3
    assert [(row["model"], row["prompt"], row["size"], row["seed"]) for row in rows] == [
        ("flux-2-pro", "second", "1024x1024", None),
        ("lucid-origin", "first", "1024x512", 8),
        ("lucid-origin", "first", "1024x512", 7),
    ]
    assert all(row["url"].startswith(f"{caller.house.url}{FILES}/") for row in rows)
    for row in rows:
        reply = await fetch(row["url"])
        assert (reply.status_code, reply.content) == (200, PNG)


async def test_what_the_model_was_asked_for_is_told_and_not_what_was_left_out(caller: Caller) -> None:
    await draw(caller, model="flux-2-klein-9b", negative_prompt="dark", steps=30)
    await draw(caller, model="phoenix-1.0", negative_prompt="dark", steps=50, size="4096x70")
    latest, first = await listed(caller)
    assert (first["negative_prompt"], first["steps"], first["revised_prompt"]) == (None, None, None)
    sent = caller.upstream()[1].body
    assert latest["negative_prompt"] == sent["negative_prompt"] == "dark"
    assert latest["steps"] == sent["num_steps"] <= 50
    assert latest["size"] == f"{sent['width']}x{sent['height']}"


@ON_BOTH
async def test_a_prompt_with_any_character_is_charged_kept_and_told(caller: Caller) -> None:
    prompt = "a \0 lamp \t'\"\\ \U0001f642 हिन्दी"
    await draw(caller, prompt)
    assert [row["prompt"] for row in await listed(caller)] == [prompt]
    assert caller.books().charged == 8 * CREDIT


@ON_BOTH
async def test_forty_five_images_of_one_moment_are_paged_without_a_gap(caller: Caller) -> None:
    tenant_id, at = caller.house.customer.tenant_id, now_us()
    made = sorted((new_id("img_", at) for _ in range(45)), reverse=True)

    def store(db: Transaction) -> None:
        for image_id in made:
            images.store(db, tenant_id, whole(image_id, at))

    elsewhere(caller.house, store)
    pages = [await history(caller)]
    while (cursor := pages[-1]["next_cursor"]) is not None:
        pages.append(await history(caller, before=cursor))
    assert [len(page["data"]) for page in pages] == [20, 20, 5]
    assert [row["id"] for page in pages for row in page["data"]] == made
    assert len((await history(caller, limit=100))["data"]) == 45
    created = pages[0]["data"][0]["created"]
    assert (await history(caller, before=created))["data"] == []
    assert len((await history(caller, before="2100-01-01", limit=1))["data"]) == 1


def whole(image_id: str, at_us: int) -> images.StoredImage:
    details = {"size": "64x64", "prompt": "x", **dict.fromkeys(("negative_prompt", "revised_prompt", "seed", "steps"))}
    return replace(make_image(image_id, at_us), details=msgspec.json.encode(details).decode())


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "before=soon", "before=2026-01-01T00:00:00Z_%00"])
async def test_a_bad_page_is_refused_by_name(caller: Caller, query: str) -> None:
    reply = await caller.http.get(f"{HISTORY}?{query}")
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (
        *(400, "invalid_request_error", query.partition("=")[0]),
    )


async def test_the_history_needs_the_permission_for_images(caller: Caller) -> None:
    narrow = elsewhere(caller.house, lambda db: add_customer(db, "Narrow", permissions="llm"))
    reply = await caller.http.get(HISTORY, headers={"authorization": f"Bearer {narrow.key}"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "permission_denied")


@ON_BOTH
async def test_images_that_cannot_be_kept_are_delivered_and_charged_all_the_same(database_url: str) -> None:
    async with open_caller(database_url, blob_dir="/dev/null/blobs") as caller:
        assert len((await draw(caller, n=2)).json()["data"]) == 2
        assert caller.books().charged == 16 * CREDIT
        assert await listed(caller) == []


async def test_an_answer_that_is_given_again_is_in_the_history_once(caller: Caller) -> None:
    for _ in range(2):
        reply = await caller.post({"model": "lucid-origin", "prompt": "a lamp"}, GENERATIONS, idempotency_key="1")
        assert reply.status_code == 200
    assert len(await listed(caller)) == 1


async def test_a_client_that_leaves_before_it_is_charged_for_the_whole_finds_nothing_in_its_history(
    caller: Caller,
) -> None:
    """One of two is done when it leaves."""
    body = {"model": "lucid-origin", "prompt": "a lamp [mock=hang_once:lamp]", "n": 2}
    await leave(caller, GENERATIONS, body, lambda records: any(each.outcome == "finished" for each in records))
    assert await listed(caller) == []


@ON_BOTH
async def test_a_client_that_leaves_while_files_are_written_pays_and_finds_nothing(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = False

    async def hang(*_: object) -> None:
        nonlocal writing
        writing = True
        await trio.sleep_forever()

    monkeypatch.setattr(Blobs, "keep", hang)
    await leave(caller, GENERATIONS, {"model": "lucid-origin", "prompt": "a lamp"}, lambda _: writing)
    assert caller.rows("SELECT state, outcome, charge, rule FROM calls") == [("posted", "cancelled", 8 * CREDIT, "B4")]
    assert await listed(caller) == []
