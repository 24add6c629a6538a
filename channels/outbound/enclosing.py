"""The file that a message brings: uploaded to the provider before the message is sent, or given as a link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from app.core.errors import Problem
from app.providers.whatsapp.line import Content, File, Line, MediaContent, NotSent, Refused, TextContent
from app.storage.media import StoredMedia

#: The upload is tried again for these, and given up for others.
WAIT: frozenset[str] = frozenset({"transient", "app_rate", "number_rate", "maintenance", "account"})
#: Bytes of a file that Twilio passes on.
TWILIO_MOST: Final = 16_000_000


class Store(Protocol):
    """Where our files are."""

    async def read(self, tenant_id: str, media_id: str) -> tuple[File, StoredMedia]:
        """Raises Problem."""
        ...


def no_link(_tenant_id: str, _media_id: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Files:
    """Our own files; `link` makes a public link that lives for some minutes, "" where there is none."""

    store: Store
    link: Callable[[str, str], str] = no_link


async def enclosed(line: Line, files: Files | None, tenant_id: str, provider: str, content: Content) -> Content:
    """The content with the file that it names as ours; its text instead where the file cannot be sent.

    Raises Refused, NotSent.
    """
    if not isinstance(content, MediaContent) or not content.kept:
        return content
    try:
        return await _with_file(line, files, tenant_id, provider, content)
    except Refused as refused:
        if not content.otherwise or refused.kind in WAIT:
            raise
        return TextContent(content.otherwise)


async def _with_file(
    line: Line, files: Files | None, tenant_id: str, provider: str, content: MediaContent
) -> MediaContent:
    if files is None:
        raise Refused("media", "no_files", "There are no files here.")
    try:
        file, row = await files.store.read(tenant_id, content.kept)
    except Problem as problem:
        if problem.code == "storage_unavailable":
            raise NotSent(problem.message) from None
        raise Refused("media", problem.code, problem.message) from None
    if provider == "twilio":
        return replace(content, kept="", link=_link(files, tenant_id, row))
    return replace(content, kept="", media_id=await line.upload(file.data, file.media_type, row.name))


def _link(files: Files, tenant_id: str, row: StoredMedia) -> str:
    """Raises Refused."""
    if row.size > TWILIO_MOST:
        raise Refused("media", "too_large", "Twilio takes files of at most 16 MB.")
    link = files.link(tenant_id, row.id)
    if not link:
        raise Refused("media", "no_link", "Twilio takes a file as a public link only.")
    return link
