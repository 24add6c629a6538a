"""The Python examples of the product's documents, word for word, and how a test runs them."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import httpx2

from tests.house import House

#: How every answer of the simulator begins.
CAPITAL = "The market opens before the sun is up"

BASIC = """
from openai import OpenAI
client = OpenAI(
    api_key="cm_your_key",
    base_url="https://api.callmissed.com/v1"
)
response = client.chat.completions.create(
    model="sarvam-30b",
    messages=[
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of India?"}
    ]
)
print(response.choices[0].message.content)
"""
STREAMING = """
from openai import OpenAI
client = OpenAI(
    api_key="cm_your_key",
    base_url="https://api.callmissed.com/v1",
)
# stream=True is the default in the Anthropic SDK; explicit here.
stream = client.chat.completions.create(
    model="gpt-oss-120b",
    messages=[{"role": "user", "content": "Explain quicksort in one paragraph."}],
    stream=True,
)
for chunk in stream:
    delta = chunk.choices[0].delta.content or ""
    print(delta, end="", flush=True)
"""
FRONTIER = """
from openai import OpenAI
client = OpenAI(api_key="cm_your_key", base_url="https://api.callmissed.com/v1")
response = client.chat.completions.create(
    model="openai/gpt-5.4",
    messages=[{"role": "user", "content": "[tag=frontier] hi"}],
    extra_body={
        "provider": {"sort": "throughput", "order": ["openai"]},
        "models": ["openai/gpt-5.4-mini"],
    },
)
print(response.model, response.choices[0].message.content)
"""
VISION = """
from openai import OpenAI
client = OpenAI(api_key="cm_your_key", base_url="https://api.callmissed.com/v1")
resp = client.chat.completions.create(
    model="anthropic/claude-sonnet-4.6", # supports_vision: true
    messages=[{
        "role": "user",
        "content": [
            {"type": "text", "text": "What is in this image?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        ],
    }],
)
print(resp.choices[0].message.content)
"""
MODEL_LIST = """
from openai import OpenAI
client = OpenAI(api_key="cm_your_key", base_url="https://api.callmissed.com/v1")
for m in client.models.list():
    extra = m.model_extra or {}
    print(m.id, extra.get("context_window"), extra.get("supports_vision"))
"""


def run_example(source: str, house: House, http: httpx2.Client | None = None) -> str:
    """What an example prints, with this key and base URL and nothing else changed (`http`: another transport)."""
    source = source.replace("cm_your_key", house.customer.key)
    source = source.replace("https://api.callmissed.com", house.url)
    names: dict[str, Any] = {"transport": http}
    if http is not None:
        source = source.replace("OpenAI(", "OpenAI(http_client=transport, ")
        source = source.replace("import OpenAI(http_client=transport, ", "import OpenAI(")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(source, names)  # noqa: S102 - the text above
    names["client"].close()
    return printed.getvalue()
