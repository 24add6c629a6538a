"""What costs nothing under `/v1` and beside it: models, credits, receipts, stored answers and images, health."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from app.api.openapi.described import Content, Described
from app.api.openapi.errors import KEY
from app.api.openapi.inference import stream_of
from app.api.openapi.replies.media import ImagePage
from app.api.openapi.replies.messages import AnthropicModel, AnthropicModelList
from app.api.openapi.replies.models import Model, ModelList, PlansAccess, PublicModelList
from app.api.openapi.replies.receipts import Alive, Balance, ReadinessReply, ReceiptReply
from app.api.openapi.replies.response_events import ResponseEvent
from app.api.openapi.replies.responses import DeletedResponse, InputItemList, Response
from app.api.openapi.samples import openai
from app.core.chat_fields import Wire
from app.core.image_history import MAGIC, HistoryQuery
from catalog.models import Category

QUERY: Final = ("invalid_value",)


class PublicModelsQuery(Wire, frozen=True):
    category: Category | None = None
    free: Annotated[bool | None, Meta(description="only what the free plan may call, or only the rest")] = None


class GenerationQuery(Wire, frozen=True):
    id: Annotated[str, Meta(min_length=1, description="the completion's id, also in `X-Generation-Id`")]


class StoredResponseQuery(Wire, frozen=True):
    stream: Annotated[bool | None, Meta(description="the stored events of a response that was streamed")] = None
    starting_after: Annotated[int, Meta(ge=0, description="number of the last event that you have")] | None = None


class InputItemsQuery(Wire, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: Annotated[str | None, Meta(description="id of the last item of the page before")] = None


MODELS: Final = (
    Described(
        method="GET",
        path="/v1/models",
        tag="models",
        name="list_models",
        summary="List the models",
        description="In Anthropic's form when the request has the header `anthropic-version`.",
        security=("bearer",),
        headers=("anthropic-version",),
        reply=(Content(type=(ModelList, AnthropicModelList)),),
        errors=KEY[:-1],
        form="either",
        samples=openai("\nfor model in client.models.list():\n    print(model.id)"),
    ),
    Described(
        method="GET",
        path="/v1/models/<path:model_id>",
        tag="models",
        name="show_model",
        summary="Show one model",
        description="By id or alias; a slash in the id may stand as it is or as `%2F`.",
        security=("bearer",),
        headers=("anthropic-version",),
        reply=(Content(type=(Model, AnthropicModel)),),
        errors=(*KEY[:-1], "model_not_found", "not_found"),
        form="either",
        samples=openai('\nprint(client.models.retrieve("kimi-k2.6"))'),
    ),
    Described(
        method="GET",
        path="/api/v1/models",
        tag="models",
        name="list_public_models",
        summary="List the models, without a key",
        query=PublicModelsQuery,
        reply=(Content(type=PublicModelList),),
        errors=QUERY,
    ),
    Described(
        method="GET",
        path="/api/v1/models/<path:model_id>",
        tag="models",
        name="show_public_model",
        summary="Show one model, without a key",
        reply=(Content(type=Model),),
        errors=("model_not_found", "not_found"),
    ),
    Described(
        method="GET",
        path="/api/v1/models/access",
        tag="models",
        name="show_model_access",
        summary="Show which plan may call what",
        reply=(Content(type=PlansAccess),),
    ),
)
CREDITS: Final = (
    Described(
        method="GET",
        path="/v1/credits",
        tag="credits",
        name="show_credits",
        summary="Show what is left of the credits",
        security=("bearer",),
        reply=(Content(type=Balance),),
        errors=KEY[:-1],
    ),
    Described(
        method="GET",
        path="/v1/generation",
        tag="credits",
        name="show_generation",
        summary="Show the receipt of one call",
        description="Attempts, hold, charge and its basis, usage, prices and times. Needs any inference permission.",
        security=("bearer",),
        query=GenerationQuery,
        reply=(Content(type=ReceiptReply),),
        errors=(*KEY, "missing_required_parameter", "not_found"),
    ),
)
STORED: Final = (
    Described(
        method="GET",
        path="/v1/responses/<response_id>",
        tag="responses",
        name="show_response",
        summary="Show a stored response, or stream it again",
        description="With `stream=true` the stored events after `starting_after`, byte by byte as they were sent.",
        security=("bearer",),
        query=StoredResponseQuery,
        reply=(Content(type=Response), stream_of(ResponseEvent)),
        errors=(*KEY, "invalid_value", "invalid_request_error", "not_found"),
        samples=openai('\nprint(client.responses.retrieve("resp_..."))'),
    ),
    Described(
        method="DELETE",
        path="/v1/responses/<response_id>",
        tag="responses",
        name="delete_response",
        summary="Delete a stored response",
        security=("bearer",),
        reply=(Content(type=DeletedResponse),),
        errors=(*KEY, "not_found"),
        samples=openai('\nclient.responses.delete("resp_...")'),
    ),
    Described(
        method="GET",
        path="/v1/responses/<response_id>/input_items",
        tag="responses",
        name="list_input_items",
        summary="List what was sent with a response's request",
        security=("bearer",),
        query=InputItemsQuery,
        reply=(Content(type=InputItemList),),
        errors=(*KEY, "invalid_value", "not_found"),
        samples=openai('\nfor item in client.responses.input_items.list("resp_..."):\n    print(item)'),
    ),
    Described(
        method="GET",
        path="/v1/images/history",
        tag="images",
        name="list_images",
        summary="List the images that were generated",
        description="Newest first. Each `url` is good for ten minutes, without a key. Needs the permission `image`.",
        security=("bearer",),
        query=HistoryQuery,
        reply=(Content(type=ImagePage),),
        errors=(*KEY, "invalid_request_error"),
    ),
    Described(
        method="GET",
        path="/v1/images/files/<path:token>",
        tag="images",
        name="show_image",
        summary="Get an image by its link",
        reply=tuple(
            Content(media, schema={})
            for media in (*dict.fromkeys(kind for _, kind in MAGIC), "image/webp", "application/octet-stream")
        ),
        reply_headers=("ETag",),
        also={304: ("It is as you have it", ())},
        errors=("not_found",),
    ),
)
HEALTH: Final = (
    Described(
        method="GET",
        path="/healthz",
        tag="health",
        name="show_alive",
        summary="Tell that the process is alive",
        reply=(Content(type=Alive),),
    ),
    Described(
        method="GET",
        path="/readyz",
        tag="health",
        name="show_ready",
        summary="Tell whether the process should be sent requests",
        reply=(Content(type=ReadinessReply),),
        also={503: ("It should not, and the body says why", (Content(type=ReadinessReply),))},
    ),
)
OPERATIONS: Final = (*MODELS, *CREDITS, *STORED, *HEALTH)
