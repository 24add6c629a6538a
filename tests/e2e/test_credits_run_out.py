"""A balance that ends in mid-answer: it ends with `length`, and what is charged is what was delivered (B11)."""

from __future__ import annotations

import pytest

from app.core.tokens import count_text
from tests.databases import ON_BOTH
from tests.e2e.calling import open_caller, question

pytestmark = ON_BOTH

MODEL = "gpt-oss-120b"
INPUT_UCR, OUTPUT_UCR = 100, 400
CREDIT_UCR = 300_000


@pytest.mark.parametrize("pace", ["", "[pace=2000]"])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_answer_ends_by_length_and_costs_what_was_delivered(
    database_url: str, stream: bool, pace: str
) -> None:
    async with open_caller(database_url, customer={"credit_ucr": CREDIT_UCR}) as caller:
        prompt = f"[tag=short] [tokens=2000] {pace}"
        if stream:
            async with caller.stream(question(prompt, MODEL)) as answer:
                events = await answer.events()
            assert events[-1].payload == "[DONE]"
            text = "".join(event.delta.get("content") or "" for event in events[:-1])
            assert events[-2].data["choices"][0]["finish_reason"] == "length"
        else:
            body = (await caller.chat(prompt, MODEL)).json()
            text = body["choices"][0]["message"]["content"]
            assert body["choices"][0]["finish_reason"] == "length"
        settled = await caller.settled()
        (record,) = caller.upstream("short")
        assert record.prompt_tokens is not None
        assert caller.rows("SELECT rule, outcome FROM calls") == [("B11", "completed")]
        assert settled.charged == record.prompt_tokens * INPUT_UCR + count_text(text) * OUTPUT_UCR
        assert CREDIT_UCR - 2 * OUTPUT_UCR < settled.charged <= CREDIT_UCR
