"""What each method of the official SDKs must make of the gateway's answers, by the routes that it drives."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Generator
from typing import Any, Final

import openai
import pytest
from openai import BaseModel

from scripts.simulator import sound
from scripts.simulator.media import PNG
from tests.e2e.sdk_driving import Talk
from tests.e2e.speaking import recording

Steps = Generator[Any, Any, None]
MODEL: Final = "openai/gpt-5.4-mini"
#: How every answer of the simulator begins.
FIVE_WORDS: Final = "The market opens before the"
SPOKEN: Final = "Good morning, everyone."
CHAT: Final[dict[str, Any]] = {
    "model": "kimi-k2.6",
    "messages": [{"role": "user", "content": "[ids=same] [tokens=5]"}],
    "max_tokens": 99,
}


class Trip(BaseModel):
    city: str
    days: int


PLAN: Final[dict[str, Any]] = {"model": MODEL, "messages": [{"role": "user", "content": "Plan a trip"}]}


def create_completion(client: Any) -> Steps:
    reply = yield client.chat.completions.create(**CHAT)
    assert (reply.object, reply.choices[0].message.content) == ("chat.completion", FIVE_WORDS)
    assert reply.usage.completion_tokens == 5


def stream_completion(client: Any) -> Steps:
    chunks = yield client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert (text, chunks[-1].usage.completion_tokens) == (FIVE_WORDS, 5)


def help_stream_a_completion(client: Any) -> Steps:
    whole = yield client.chat.completions.create(**CHAT)
    final = yield client.chat.completions.stream(**CHAT, stream_options={"include_usage": True})
    told, streamed = whole.choices[0], final.choices[0]
    assert (streamed.message.content, streamed.finish_reason) == (told.message.content, told.finish_reason)
    assert final.usage == whole.usage


def parse_completion(client: Any) -> Steps:
    whole = yield client.chat.completions.parse(**PLAN, response_format=Trip)
    final = yield client.chat.completions.stream(**PLAN, response_format=Trip)
    assert whole.choices[0].message.parsed == final.choices[0].message.parsed == Trip(city="Pune", days=3)


def create_response(client: Any) -> Steps:
    reply = yield client.responses.create(model=MODEL, input="[tokens=5]")
    assert (reply.status, reply.output_text, reply.usage.output_tokens) == ("completed", FIVE_WORDS, 5)


def stream_response(client: Any) -> Steps:
    events = yield client.responses.create(model=MODEL, input="[tokens=5]", stream=True)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == FIVE_WORDS


def help_stream_a_response(client: Any) -> Steps:
    asked = {"model": MODEL, "input": "[tokens=5]", "instructions": "Be brief.", "metadata": {"a": "b"}}
    whole = yield client.responses.create(**asked)
    final = yield client.responses.stream(**asked)
    assert _without_ids(final) == _without_ids(whole)


def _without_ids(response: Any) -> dict[str, Any]:
    """What does not differ from call to call, and without what the helper has parsed."""
    own = {"id", "created_at", "completed_at"}
    items = [{**item.to_dict(), "id": None} for item in response.output]
    for content in (content for item in items for content in item["content"]):
        content.pop("parsed", None)
    return {name: value for name, value in response.to_dict().items() if name not in own} | {"output": items}


def parse_response(client: Any) -> Steps:
    reply = yield client.responses.parse(model=MODEL, input="Plan a trip", text_format=Trip)
    assert reply.output_parsed == Trip(city="Pune", days=3)


def read_response_back(client: Any) -> Steps:
    events = yield client.responses.create(model=MODEL, input="[tokens=5] kept", stream=True)
    kept = events[-1].response
    read = yield client.responses.retrieve(kept.id)
    assert read == kept
    assert (yield client.responses.retrieve(kept.id, stream=True, starting_after=2)) == events[3:]
    items = yield client.responses.input_items.list(kept.id)
    assert [item.content[0].text for item in items.data] == ["[tokens=5] kept"]
    with pytest.raises(openai.BadRequestError, match="Only background responses"):
        yield client.responses.cancel(kept.id)
    yield client.responses.delete(kept.id)
    with pytest.raises(openai.NotFoundError):
        yield client.responses.retrieve(kept.id)


def create_embeddings(client: Any) -> Steps:
    asked = {"model": "bge-m3", "input": ["one", "three"]}
    by_default = yield client.embeddings.create(**asked)
    as_floats = yield client.embeddings.create(**asked, encoding_format="float")
    assert by_default == as_floats
    assert [item.embedding[:2] for item in by_default.data] == [[3.0, 0.0], [5.0, 1.0]]


def generate_image(client: Any) -> Steps:
    reply = yield client.images.generate(model="lucid-origin", prompt="a lamp", n=2, response_format="b64_json")
    assert [b64decode(image.b64_json) for image in reply.data] == [PNG, PNG]


#: Lacks segments: of their figures of quality, which the SDK's type demands, no provider tells all.
HEARS: Final = "nova-3"


def transcribe(client: Any) -> Steps:
    yield from _hear(client.audio.transcriptions, HEARS)
    file = ("a.wav", recording(4000), "audio/wav")
    told = yield client.audio.transcriptions.create(
        model=HEARS, file=file, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert (told.duration, told.words[0].word, told.words[-1].end) == (4.0, "The", 4.0)


def translate(client: Any) -> Steps:
    yield from _hear(client.audio.translations, "saaras:v3")
    file = ("a.wav", recording(4000), "audio/wav")
    told = yield client.audio.translations.create(model="saaras:v3", file=file, response_format="verbose_json")
    assert (told.duration, told.language) == (4.0, "en")


def _hear(resource: Any, model: str) -> Steps:
    file = ("a.wav", recording(4000), "audio/wav")
    told = yield resource.create(model=model, file=file)
    bare = yield resource.create(model=model, file=file, response_format="text")
    assert told.text == bare
    assert bare.startswith("The market opens")


def speak(client: Any) -> Steps:
    reply = yield client.audio.speech.create(model="bulbul:v3", voice="shubh", input=SPOKEN)
    assert reply.content == sound.mp3(len(SPOKEN) * sound.MS_PER_CHARACTER)


def speak_streamed(client: Any) -> Steps:
    asked = {"model": "aura-2-en", "voice": "luna", "input": SPOKEN, "response_format": "pcm"}
    streamed = yield client.audio.speech.with_streaming_response.create(**asked)
    assert streamed == sound.pcm(len(SPOKEN) * sound.MS_PER_CHARACTER)


def look_up_models(client: Any) -> Steps:
    listed = yield client.models.list()
    one = yield client.models.retrieve("kimi-k2.6")
    assert one in listed.data


def search(client: Any) -> Steps:
    """No method of the SDK's searches."""
    found = yield client.post("/search", body={"query": "what is trio", "num_results": 3}, cast_to=object)
    assert (len(found["results"]), found["credits_used"]) == (3, 1)


def create_message(client: Any) -> Steps:
    message = yield client.messages.create(**CHAT)
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": FIVE_WORDS}]
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 5)


def stream_message(client: Any) -> Steps:
    events = yield client.messages.create(**CHAT, stream=True)
    assert (events[0].type, events[-1].type) == ("message_start", "message_stop")
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == FIVE_WORDS


def help_stream_a_message(client: Any) -> Steps:
    whole = yield client.messages.create(**CHAT)
    final = yield client.messages.stream(**CHAT)
    told, streamed = (message.to_dict(exclude_none=True) for message in (whole, final))
    assert streamed | {"id": None} == told | {"id": None}


def parse_message(client: Any) -> Steps:
    message = yield client.messages.parse(**PLAN, max_tokens=99, output_format=Trip)
    assert message.parsed_output == Trip(city="Pune", days=3)


def count_tokens(client: Any) -> Steps:
    counted = yield client.messages.count_tokens(model=CHAT["model"], messages=CHAT["messages"])
    assert counted.input_tokens > 5


#: The SDK asks for base64 of its own accord, and its types know numbers only.
UNCHECKED: Final = frozenset({create_embeddings})
Route = tuple[str, str]
COMPLETIONS: Final[Route] = ("POST", "/v1/chat/completions")
RESPONSES: Final[Route] = ("POST", "/v1/responses")
ONE_RESPONSE: Final = "/v1/responses/<response_id>"
MESSAGES: Final[Route] = ("POST", "/messages")
SPEECH: Final[Route] = ("POST", "/v1/audio/speech")
#: The methods of OpenAI's SDK, and what they ask of the gateway.
OPENAI: Final[dict[Talk, tuple[Route, ...]]] = {
    create_completion: (COMPLETIONS,),
    stream_completion: (COMPLETIONS,),
    help_stream_a_completion: (COMPLETIONS,),
    parse_completion: (COMPLETIONS,),
    create_response: (RESPONSES,),
    stream_response: (RESPONSES,),
    help_stream_a_response: (RESPONSES,),
    parse_response: (RESPONSES,),
    read_response_back: (
        RESPONSES,
        ("GET", ONE_RESPONSE),
        ("DELETE", ONE_RESPONSE),
        ("GET", f"{ONE_RESPONSE}/input_items"),
        ("POST", f"{ONE_RESPONSE}/cancel"),
    ),
    create_embeddings: (("POST", "/v1/embeddings"),),
    generate_image: (("POST", "/v1/images/generations"),),
    transcribe: (("POST", "/v1/audio/transcriptions"),),
    translate: (("POST", "/v1/audio/translations"),),
    speak: (SPEECH,),
    speak_streamed: (SPEECH,),
    look_up_models: (("GET", "/v1/models"), ("GET", "/v1/models/<path:model_id>")),
    search: (("POST", "/v1/search"),),
}
#: Those of Anthropic's, whose paths are below whatever it is pointed at.
ANTHROPIC: Final[dict[Talk, tuple[Route, ...]]] = {
    create_message: (MESSAGES,),
    stream_message: (MESSAGES,),
    help_stream_a_message: (MESSAGES,),
    parse_message: (MESSAGES,),
    count_tokens: (("POST", "/messages/count_tokens"),),
    look_up_models: (("GET", "/models"), ("GET", "/models/<path:model_id>")),
}
