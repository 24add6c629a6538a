"""The book: what is kept, for how long, how it is read."""

from __future__ import annotations

import httpx2
import pytest
import trio
import trio.testing

from scripts.simulator.book import Book
from tests.simulator.asking import PATHS, Running, chat_body


async def test_a_record_tells_the_whole_request(client: httpx2.AsyncClient, simulator: Running) -> None:
    body = chat_body("[tag=t1][tokens=4]") | {"model": "openai/gpt-5.4"}
    await client.post(PATHS["openrouter"], json=body)
    (record,) = (await client.get("/book")).json()
    assert (record["n"], record["dialect"], record["path"]) == (1, "openrouter", PATHS["openrouter"])
    assert (record["model"], record["tag"], record["body"]) == ("openai/gpt-5.4", "t1", body)
    assert (record["status"], record["outcome"], record["tokens_sent"]) == (200, "finished", 4)
    assert record["usage_sent"]["completion_tokens"] == 4
    assert record["usage_sent"]["prompt_tokens"] == record["prompt_tokens"]
    assert 0 <= record["accepted"] <= record["headers_sent"] <= record["first_byte"] <= record["finished"]
    assert record["close_seen"] is None


async def test_credentials_are_masked(client: httpx2.AsyncClient, simulator: Running) -> None:
    await client.post(PATHS["sarvam"], json=chat_body(), headers={"cookie": "a=secret-key"})
    (record,) = simulator.book.records()
    assert record.request_headers["authorization"] == "Bearer ***"
    assert record.request_headers["api-subscription-key"] == "***"
    assert "secret-key" not in (await client.get("/book")).text


async def test_a_refused_request_is_booked_too(client: httpx2.AsyncClient) -> None:
    await client.post(PATHS["openai"], json=chat_body("[tag=x]"), headers={"authorization": ""})
    await client.post(PATHS["openai"], json=chat_body("[mock=429][tag=y]"))
    await client.post(PATHS["openai"], content=b"{no json")
    records = (await client.get("/book")).json()
    assert [(record["status"], record["outcome"]) for record in records] == [
        (401, "faulted"),
        (429, "faulted"),
        (400, "faulted"),
    ]
    assert [record["tokens_sent"] for record in records] == [0, 0, 0]


async def test_the_book_filters_by_tag_and_number(client: httpx2.AsyncClient) -> None:
    for tag in ("a", "b", "a"):
        await client.post(PATHS["openai"], json=chat_body(f"[tag={tag}]"))
    numbers = [
        [record["n"] for record in (await client.get("/book", params=params)).json()]
        for params in ({}, {"tag": "a"}, {"since": "1"}, {"tag": "a", "since": "1"})
    ]
    assert numbers == [[1, 2, 3], [1, 3], [2, 3], [3]]
    assert (await client.get("/book", params={"since": "yesterday"})).status_code == 400


async def test_the_summary_adds_up(client: httpx2.AsyncClient) -> None:
    await client.post(PATHS["openai"], json=chat_body("[tokens=5]"))
    await client.post(PATHS["sarvam"], json=chat_body("[mock=500]"))
    summary = (await client.get("/book/summary")).json()
    assert (summary["records"], summary["finished"], summary["faulted"], summary["tokens_sent"]) == (2, 1, 1, 5)
    assert summary["by_dialect"] == {"openai": 1, "sarvam": 1}


async def test_clearing_forgets_records_and_fail_once_keys(client: httpx2.AsyncClient) -> None:
    failing = chat_body("[mock=fail_once:k]")
    await client.post(PATHS["openai"], json=failing)
    await client.delete("/book")
    assert (await client.get("/book")).json() == []
    assert (await client.post(PATHS["openai"], json=failing)).status_code == 500


async def test_the_simulators_own_routes_are_not_booked(client: httpx2.AsyncClient, simulator: Running) -> None:
    for path in ("/", "/healthz", "/book", "/book/summary", "/nowhere"):
        await client.get(path)
    assert simulator.book.records() == []


async def test_a_full_book_drops_its_oldest_record() -> None:
    book = Book(capacity=2)
    for name in ("a", "b", "c"):
        record = book.blank("openai", "/", ())
        book.enter(record)
        book.name_answer(record, name)
    assert [record.n for record in book.records()] == [2, 3]
    assert book.by_answer("a") is None
    assert book.by_answer("c") is not None


async def test_waiting_for_a_record_ends_with_its_request(autojump_clock: trio.testing.MockClock) -> None:
    book = Book()
    record = book.blank("openai", "/", ())
    record.tag = "t"
    book.enter(record)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def close_later() -> None:
            await trio.sleep(3)
            book.close(record, "finished")

        assert await book.ended("t") is record
    assert book.now() == pytest.approx(3)
