"""The wire fields of POST /v1/responses with their types and bounds (spec.md section 7)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from app.core.chat_fields import Name, Penalty, Plugin, PluginId, ProviderPreferences, TokenLimit, Wire

Id = Annotated[str, Meta(min_length=1, max_length=1024)]


class InputText(Wire, frozen=True, tag_field="type", tag="input_text"):
    text: str


class OutputText(Wire, frozen=True, tag_field="type", tag="output_text"):
    text: str


class RefusalText(Wire, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class InputImage(Wire, frozen=True, tag_field="type", tag="input_image"):
    image_url: Name
    detail: str | None = None


class InputFile(Wire, frozen=True, tag_field="type", tag="input_file"):
    file_data: Name
    filename: str | None = None


InputPart = InputText | OutputText | RefusalText | InputImage | InputFile
OutputPart = InputText | InputImage | InputFile


class InputMessage(Wire, frozen=True, tag_field="type", tag="message"):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputPart]


class InputCall(Wire, frozen=True, tag_field="type", tag="function_call"):
    call_id: Id
    name: Name
    arguments: str


class InputCallOutput(Wire, frozen=True, tag_field="type", tag="function_call_output"):
    call_id: Id
    output: str | list[OutputPart]


class InputReasoning(Wire, frozen=True, tag_field="type", tag="reasoning"):
    """Goes back to the model whose thought it is, if it holds what that needs; is left out else."""

    encrypted_content: str | None = None


InputItem = InputMessage | InputCall | InputCallOutput | InputReasoning


class FunctionTool(Wire, frozen=True):
    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedTool(Wire, frozen=True):
    type: Literal["function"]
    name: Name


class PlainText(Wire, frozen=True, tag_field="type", tag="text"):
    pass


class JsonObject(Wire, frozen=True, tag_field="type", tag="json_object"):
    pass


class JsonSchema(Wire, frozen=True, tag_field="type", tag="json_schema"):
    name: Name
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextOptions(Wire, frozen=True):
    format: PlainText | JsonObject | JsonSchema | None = None
    verbosity: str | None = None


class ReasoningOptions(Wire, frozen=True):
    effort: Name | None = None
    summary: str | None = None


class ResponseFields(Wire, frozen=True):
    """Every parameter as sent; null means absent."""

    input: str | list[InputItem] | None = None
    model: Name | None = None
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: Name | None = None
    metadata: Annotated[dict[str, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    max_output_tokens: TokenLimit | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[FunctionTool], Meta(max_length=128)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None
    user: Annotated[str, Meta(max_length=256)] | None = None
    safety_identifier: Annotated[str, Meta(max_length=256)] | None = None
    prompt_cache_key: Annotated[str, Meta(max_length=1024)] | None = None
    service_tier: str | None = None
    provider: ProviderPreferences | None = None
    models: Annotated[list[Name], Meta(max_length=32)] | None = None
    route: Literal["fallback"] | None = None
    plugins: list[PluginId | Plugin] | None = None
    transforms: list[Literal["middle-out"]] | None = None


KNOWN_FIELDS: Final = frozenset(ResponseFields.__struct_encode_fields__)
