"""An independent reader of a responses stream: it believes nothing, and fails at the first event that is not legal."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.core.streams import read

Json = dict[str, Any]
TERMINAL: Final = {"response.completed", "response.incomplete", "response.failed"}
LIFECYCLE: Final = TERMINAL | {"response.created", "response.in_progress"}
#: Object R of compat.md.
KEYS: Final = {
    *("id", "object", "created_at", "completed_at", "status", "background", "error", "incomplete_details"),
    *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "model", "output", "parallel_tool_calls"),
    *("previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store"),
    *("temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "presence_penalty"),
    *("frequency_penalty", "truncation", "usage", "user"),
}
NEVER_NULL: Final = {
    *("truncation", "parallel_tool_calls", "text", "top_p", "temperature", "presence_penalty", "frequency_penalty"),
    *("top_logprobs", "store", "background", "service_tier", "metadata", "tools", "tool_choice", "output"),
}


#: What the SDK makes of an answer.
PARSED: Final = {"parsed", "parsed_arguments"}


def events(stream: bytes) -> list[Json]:
    """The data of each event; its name and its framing are checked."""
    blocks = stream.split(b"\n\n")
    assert blocks.pop() == b""
    found = []
    for block in blocks:
        name, data = block.decode().split("\n")
        body = json.loads(data.removeprefix("data: "))
        assert name == f"event: {body['type']}"
        assert "error" not in body
        found.append(body)
    assert len(read(stream)) == len(found)
    return found


class Reader:
    """Feeds on events in order; `items` is what it has understood of the output."""

    def __init__(self) -> None:
        self.seen = 0
        self.response_id = ""
        self.items: list[Json] = []
        self.open: dict[int, bool] = {}
        self.part_open: dict[int, int] = {}
        self.ended: str | None = None
        self.final: Json = {}

    def feed(self, event: Json) -> None:
        assert self.ended is None, "an event after the end"
        assert event["sequence_number"] == self.seen
        kind = event["type"]
        if self.seen == 0:
            assert kind == "response.created"
        if self.seen == 1:
            assert kind == "response.in_progress"
        self.seen += 1
        if kind in LIFECYCLE:
            self.lifecycle(kind, event["response"])
        else:
            getattr(self, kind.removeprefix("response.").replace(".", "_"))(event)

    def lifecycle(self, kind: str, response: Json) -> None:
        assert response.keys() == KEYS
        assert all(response[key] is not None for key in NEVER_NULL)
        self.response_id = self.response_id or response["id"]
        assert response["id"] == self.response_id
        status = kind.removeprefix("response.")
        assert response["status"] == ("in_progress" if status == "created" else status)
        assert (response["usage"] is None) == (status in {"created", "in_progress", "failed"})
        assert (response["error"] is None) == (status != "failed")
        assert (response["incomplete_details"] is None) == (status != "incomplete")
        assert (response["completed_at"] is None) == (status != "completed")
        still_open = "incomplete" if status == "failed" else "in_progress"
        expected = [
            {**item, "status": still_open} if self.open[place] else item for place, item in enumerate(self.items)
        ]
        assert [bare(item) for item in response["output"]] == expected
        if kind in TERMINAL:
            self.ended, self.final = status, response
            if kind != "response.failed":
                assert not any(self.open.values()), "an item was left open"

    def item(self, event: Json) -> Json:
        assert self.open[event["output_index"]], "the item is closed"
        item = self.items[event["output_index"]]
        assert item["id"] == event["item_id"]
        return item

    def part(self, event: Json) -> Json:
        item = self.item(event)
        assert self.part_open[event["output_index"]] == event["content_index"]
        part: Json = item["content"][event["content_index"]]
        return part

    def output_item_added(self, event: Json) -> None:
        item = event["item"]
        assert event["output_index"] == len(self.items)
        assert item["status"] == "in_progress"
        assert item["id"] not in {each["id"] for each in self.items}
        empty = {"message": ("content", []), "reasoning": ("summary", []), "function_call": ("arguments", "")}
        name, value = empty[item["type"]]
        assert item[name] == value
        self.open[len(self.items)] = True
        self.part_open[len(self.items)] = -1
        self.items.append(item)

    def content_part_added(self, event: Json) -> None:
        item, part = self.item(event), event["part"]
        assert self.part_open[event["output_index"]] == -1
        assert event["content_index"] == len(item["content"])
        if part["type"] == "output_text":
            assert part == {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        else:
            assert part in ({"type": "reasoning_text", "text": ""}, {"type": "refusal", "refusal": ""})
        item["content"].append(part)
        self.part_open[event["output_index"]] = event["content_index"]

    def output_text_delta(self, event: Json) -> None:
        part = self.part(event)
        part["text"] += event["delta"]
        part["logprobs"] += event["logprobs"]

    def reasoning_text_delta(self, event: Json) -> None:
        self.part(event)["text"] += event["delta"]

    def refusal_delta(self, event: Json) -> None:
        self.part(event)["refusal"] += event["delta"]

    def output_text_annotation_added(self, event: Json) -> None:
        part = self.part(event)
        assert event["annotation_index"] == len(part["annotations"])
        part["annotations"].append(event["annotation"])

    def output_text_done(self, event: Json) -> None:
        part = self.part(event)
        assert (event["text"], event["logprobs"]) == (part["text"], part["logprobs"])

    def reasoning_text_done(self, event: Json) -> None:
        assert event["text"] == self.part(event)["text"]

    def refusal_done(self, event: Json) -> None:
        assert event["refusal"] == self.part(event)["refusal"]

    def content_part_done(self, event: Json) -> None:
        assert event["part"] == self.part(event)
        self.part_open[event["output_index"]] = -1

    def function_call_arguments_delta(self, event: Json) -> None:
        self.item(event)["arguments"] += event["delta"]

    def function_call_arguments_done(self, event: Json) -> None:
        item = self.item(event)
        assert (event["name"], event["arguments"]) == (item["name"], item["arguments"])

    def output_item_done(self, event: Json) -> None:
        place, item = event["output_index"], event["item"]
        assert self.open[place]
        assert self.part_open[place] == -1, "a part was left open"
        assert item["status"] in {"completed", "incomplete"}
        assert bare(item) == {**self.items[place], "status": item["status"]}
        self.items[place] = bare(item)
        self.open[place] = False


def bare(item: Json) -> Json:
    """Without what only the end of an item tells: what its provider wants to have back."""
    return {key: value for key, value in item.items() if key != "encrypted_content"}


def check(stream: bytes) -> Reader:
    """Read a whole stream. Fails unless it is legal and has its one end."""
    reader = Reader()
    for event in events(stream):
        reader.feed(event)
    assert reader.ended is not None
    return reader


def as_sent(response: Any) -> Json:
    """An SDK's object without what the SDK has added to it."""
    text = json.dumps(response.to_dict())
    body: Json = json.loads(text, object_hook=lambda each: {k: v for k, v in each.items() if k not in PARSED})
    return body
