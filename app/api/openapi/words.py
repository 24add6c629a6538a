"""What the fields of `/v1`'s requests are for, in a few words; their types and bounds are in `app.core`."""

from __future__ import annotations

from typing import Final

from app.api.openapi.audio import TranscriptionForm, TranslationForm
from app.core.chat_fields import ChatFields, ProviderPreferences, Reasoning
from app.core.embeddings import EmbeddingFields
from app.core.images import ImageFields
from app.core.messages_fields import MessagesFields, PromptFields
from app.core.responses_fields import InputMessage, ResponseFields
from app.core.search import SearchFields
from app.core.speech import SpeechFields

Words = dict[str, str]

SAMPLING: Final[Words] = {
    "temperature": "higher is more varied",
    "top_p": "only the likeliest tokens that make up this share",
    "frequency_penalty": "above 0 repeats less what came often",
    "presence_penalty": "above 0 repeats less what came at all",
}
#: With the same meaning on chat and responses.
SHARED: Final[Words] = {
    **SAMPLING,
    "model": "an id, an alias or a slash id such as `openai/gpt-5.4`; without it the default model",
    "stream": "answer as server-sent events",
    "tools": "functions that the model may call",
    "tool_choice": "whether it may, must or must not call one, or which one",
    "parallel_tool_calls": "whether it may call several at once",
    "top_logprobs": "how many likely tokens to show at each place",
    "user": "your own name for who asks; kept in the log",
    "prompt_cache_key": "groups requests that begin alike, for the provider's cache",
    "provider": "which providers a slash id may be served by",
    "models": "tried in this order after `model`; not together with tools or a response format",
    "route": "has no effect beside `models`",
    "plugins": "for slash ids; `web` adds the price of one search",
    "transforms": "`middle-out` leaves out the middle of what is too long, for slash ids",
}
PROMPT: Final[Words] = {
    "model": "any chat model of the catalog",
    "messages": "the conversation so far, by turns",
    "system": "what the model is told before it",
    "tools": "functions that the model may call; tools of Anthropic's own servers are refused",
    "tool_choice": "whether it may, must or must not call one, or which one",
    "thinking": "whether thinking is shown, and how much of it",
    "output_config": "how hard the model thinks, and the JSON schema of its answer",
}
FORM: Final[Words] = {
    "model": "`saaras:v3` without it",
    "language": "such as `hi` or `hi-IN`; detected without it",
    "mode": "what becomes of the words; saaras models only",
    "response_format": "`text` is a bare body, `verbose_json` has times",
    "timestamp_granularities": "`word` adds times of words where the model has them",
    "prompt": "words that are likely to come",
    "temperature": "0 keeps closest to the sound",
}
#: OpenAI's SDKs send messages of a response's input with their `type` and without.
UNTAGGED: Final = (InputMessage,)
WORDS: Final[dict[type, Words]] = {
    ChatFields: {
        **SHARED,
        "messages": "the conversation so far",
        "max_tokens": "most tokens to generate",
        "max_completion_tokens": "the same under its newer name; the smaller of both counts",
        "n": "how many answers",
        "top_k": "only so many of the likeliest tokens",
        "repetition_penalty": "above 1 repeats less",
        "seed": "the same seed makes the same answer likelier",
        "stop": "texts that end the answer; they are not in it",
        "logit_bias": "token ids and what is added to their odds",
        "logprobs": "show how likely each token was",
        "response_format": "text, any JSON object, or JSON of a schema",
        "structured_outputs": "true makes the schema strict",
        "stream_options": "`include_usage` adds a last chunk with the usage",
        "reasoning_effort": "none, minimal, low, medium or high; clamped to what the model knows",
        "reasoning": "effort or token budget for slash ids; goes before `reasoning_effort`",
    },
    ProviderPreferences: {
        "sort": "what matters most",
        "order": "try these first, in this order",
        "only": "no others than these",
        "ignore": "none of these",
        "max_price": "US dollars per million tokens",
    },
    Reasoning: {"effort": "how hard to think", "max_tokens": "most tokens to think in"},
    ResponseFields: {
        **SHARED,
        "input": "a text, or items: messages, calls and their results",
        "instructions": "what the model is told before it; not carried over from `previous_response_id`",
        "store": "keep it for 30 days; true unless said otherwise",
        "previous_response_id": "go on from this response",
        "metadata": "your own notes; given back with the response",
        "max_output_tokens": "most tokens to generate",
        "max_tool_calls": "has no effect",
        "text": "the form of the answer: text, any JSON object, or JSON of a schema",
        "reasoning": "how hard to think",
        "truncation": "has no effect",
        "include": "`reasoning.encrypted_content` and `message.output_text.logprobs` are known",
        "background": "not offered: leave it out or false",
        "conversation": "not offered: use `previous_response_id`",
        "prompt": "not offered: send `instructions` and `input`",
        "safety_identifier": "has no effect",
        "service_tier": "has no effect",
    },
    PromptFields: PROMPT,
    MessagesFields: {
        **PROMPT,
        "max_tokens": "most tokens to generate",
        "stream": "answer as server-sent events",
        "temperature": SAMPLING["temperature"],
        "top_p": SAMPLING["top_p"],
        "top_k": "only so many of the likeliest tokens",
        "stop_sequences": "texts that end the answer; they are not in it",
        "metadata": "`user_id` is your own name for who asks; passed on as a hash",
    },
    EmbeddingFields: {
        "model": "an embedding model",
        "input": "one text, or 1 to 128 of at most 100,000 characters each",
        "encoding_format": "numbers, or base64 of little-endian float32",
        "dimensions": "shorter vectors, where the model can make them",
        "user": "has no effect",
    },
    ImageFields: {
        "model": "an image model",
        "prompt": "what to draw",
        "n": "how many images; 1 without it",
        "size": "WIDTHxHEIGHT, each 64 to 4096; `1024x1024` without it",
        "response_format": "base64 is all there is",
        "negative_prompt": "what not to draw",
        "seed": "the same seed makes the same image likelier",
        "steps": "more takes longer and is finer; clamped to what the model can",
        "user": "has no effect",
    },
    SearchFields: {
        "query": "what to search for",
        "mode": "`shorter` prefers Google's snippets, `detailed` the text of pages, `auto` what the operator chose",
        "provider": "serper (or google), exa, tavily, brave or searxng; goes before `mode`",
        "num_results": "10 without it",
        "search_type": "such as `news` or `images`, where the provider has it",
        "include_domains": "only results from these",
        "exclude_domains": "no results from these",
        "start_published_date": "not older than this day",
        "end_published_date": "not newer than this day",
        "include_content": "with the text of each page; prefers providers that have it",
        "gl": "country of the results, two letters",
        "hl": "language of the results",
        "tbs": "Google's filter of time, such as `qdr:w`",
    },
    SpeechFields: {
        "input": "what to say",
        "model": "`bulbul:v3` without it",
        "voice": "one that the model does not have is its own voice instead",
        "language": "such as `hi-IN`; `en-IN` without it",
        "speed": "1 is as usual",
        "speech_sample_rate": "of the sound, in Hz",
        "response_format": "`mp3` without it; a format that the model cannot make is refused",
        "instructions": "how to say it, for models that can be told",
        "stream_format": "`audio`; events are not offered",
    },
    TranscriptionForm: FORM,
    TranslationForm: {name: text for name, text in FORM.items() if name != "mode"},
}
