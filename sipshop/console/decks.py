"""The part of the API that is about versions of decks: sheets imported, what they change, when it comes into force.

The provider reaches every deck, a reseller or owner those by which nobody sells but he himself and those below him.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal, Protocol, Self

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from sipshop.billing.cdr import utc_text
from sipshop.console.paging import Cursor, Limit, decode, encode
from sipshop.console.scope import Scope, Sender, problems
from sipshop.console.worlds import WorldDesk
from sipshop.store import DeckVersion
from sipshop.switch import Import, SheetFile
from sipshop.switch.errors import UnknownImport
from sipshop.switch.imports import Rows, csv_of, mark_of

CSV: Final = "text/csv"
SHEET: Final = "application/octet-stream"
#: So much of a sheet is gathered before it is written down, beside the event loop.
_PIECE: Final = 1 << 20


class DeckDesk(Protocol):
    """What the API asks of the switch about versions of decks; `sipshop.switch.decks` keeps it."""

    async def begin_import(
        self,
        tenant: str,
        deck: str,
        sheet: SheetFile,
        *,
        carrier: str,
        file: str,
        party: str,
        author: str,
        reason: str = "",
        at: str | None = None,
        publish: bool = False,
        skip_bad: bool = False,
    ) -> Import:
        """Begin to import a sheet."""
        ...

    def imported(self, tenant: str, name: str) -> Import:
        """One import."""
        ...

    async def versions(self, tenant: str, deck: str) -> list[DeckVersion]:
        """The versions of a deck, the newest first."""
        ...

    async def publish(self, tenant: str, deck: str, version: int, *, author: str, reason: str) -> DeckVersion:
        """Put a version in force now."""
        ...

    async def schedule(self, tenant: str, deck: str, version: int, at: str, *, author: str, reason: str) -> DeckVersion:
        """Have a version come into force at an instant."""
        ...

    async def discard(self, tenant: str, deck: str, version: int, *, author: str, reason: str) -> DeckVersion:
        """Let a version go that never was in force."""
        ...

    async def roll_back(
        self, tenant: str, deck: str, version: int, *, author: str, party: str, reason: str
    ) -> DeckVersion:
        """Make the rates of an earlier version the next one."""
        ...

    async def diff(self, tenant: str, deck: str, old: int, new: int, *, party: str) -> Import:
        """What one version changes of another."""
        ...


class ImportView(BaseModel):
    """An import of a sheet, or a comparison of two versions, and what came of it."""

    id: str
    deck: str
    carrier: str
    file: str
    state: Literal["reading", "comparing", "writing", "refused", "failed", "done"] = Field(
        description="refused: there are bad rows, and nothing was done; failed: see `why`"
    )
    why: str
    done: int = Field(description="how far it is")
    whole: int = Field(description="of how much; 0: not known")
    rows: int
    prefixes: int
    preamble: int = Field(description="rows before the header")
    rejected: int = Field(description="bad rows: see `rejects`")
    notices: int = Field(description="rows that say nothing new, or that the mapping ignores: see `notices`")
    skipped_bad: bool = Field(description="bad rows were left out, as it was asked for")
    counts: dict[str, int] = Field(description="changes by their kind, and those that are marked: see `changes`")
    unchanged: int = Field(description="prefixes of the sheet that stay as they are")
    not_mentioned: int = Field(description="prefixes that the sheet does not name, and stay")
    base: int = Field(description="the version that it was compared with")
    version: int | None = Field(description="the version that was made; null: none, or not yet")
    version_state: Literal["draft", "scheduled", "published"] | None

    @classmethod
    def of(cls, job: Import) -> Self:
        """The view of an import."""
        return cls.model_validate(
            {
                **{name: getattr(job, name) for name in _PLAIN},
                "rejected": len(job.rejects),
                "notices": len(job.notices),
                "skipped_bad": job.skipped,
                "counts": dict(job.counts),
            }
        )


_PLAIN: Final = (
    *("id", "deck", "carrier", "file", "state", "why", "done", "whole", "rows", "prefixes", "preamble", "unchanged"),
    *("not_mentioned", "base", "version", "version_state"),
)


class ChangeList(BaseModel):
    """What becomes of prefixes, in their order."""

    changes: list[dict[str, Any]] = Field(description="kind, prefix, destination, from, old, new and losses of each")
    next: str | None


class RejectView(BaseModel):
    """A row of a sheet, by its line from 1, and what is said of it; `field` is what the mapping calls the column."""

    line: int
    field: str
    reason: str
    text: str


class RejectList(BaseModel):
    """Bad rows, or notices, in the order of the sheet."""

    rows: list[RejectView]
    next: str | None


class VersionView(BaseModel):
    """A version of a deck. Who made it, why and of what is null where that is nobody whom you know."""

    deck: str
    version: int
    state: Literal["draft", "scheduled", "published", "discarded"]
    in_force: bool
    origin: Literal["apply", "import", "rollback"]
    base: int | None = Field(description="the version that it was made from")
    author: str | None
    reason: str | None
    source: str | None
    made_at: str
    valid_from: str | None = Field(description="since when it was in force, or from when it is to be")

    @classmethod
    def of(cls, version: DeckVersion, *, in_force: int, sender: Scope) -> Self:
        """The view of a version, as the sender may see it."""
        is_known = version.party in sender.reach.parties
        return cls(
            deck=version.deck,
            version=version.version,
            state=version.state.value,
            in_force=version.version == in_force,
            origin=version.origin.value,
            base=version.base,
            author=version.author if is_known else None,
            reason=version.reason if is_known else None,
            source=version.source if is_known else None,
            made_at=utc_text(version.made_at_ms),
            valid_from=None if version.from_ms is None else utc_text(version.from_ms),
        )


class VersionList(BaseModel):
    """The versions of a deck of which it is known who made them, the newest first."""

    versions: list[VersionView]


class ReasonCommand(BaseModel):
    """Why."""

    reason: str = Field(default="", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")


class ScheduleCommand(ReasonCommand):
    """From when, and why."""

    at: str = Field(max_length=40, description="ISO 8601, in the deck's zone unless it has an offset")


class DiffCommand(BaseModel):
    """Which versions are compared."""

    old: int = Field(ge=1, le=2**31)
    new: int = Field(ge=1, le=2**31)


Version = Annotated[int, Field(ge=1, le=2**31)]
_READING: Final = problems(_404="unknown_deck", _422="invalid_request", _503="unavailable")
_IMPORT: Final = problems(_404="unknown_import", _422="invalid_request, bad_cursor")
_COMMAND: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_deck, unknown_version",
    _409="stale_version: another version came meanwhile, or this one is something else already",
    _413="the body is too large",
    _422="invalid_request, bad_instant",
    _503="unwritable, not_now, unavailable: nothing was changed",
)
_UPLOAD: Final = problems(
    _404="unknown_deck, unknown_mapping",
    _409="too_many_imports; stale_version: another version waits to come into force later",
    _413="the sheet is too large",
    _422="invalid_request, bad_instant",
    _503="unwritable, unavailable: nothing was changed",
)
BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {SHEET: {"schema": {"type": "string", "format": "binary"}}}},
}


def add_decks(router: APIRouter, worlds: WorldDesk, desk: DeckDesk) -> None:
    """Add the endpoints to the router of the API."""

    @router.post("/decks/{deck}/imports", tags=["sheets"], status_code=202, responses=_UPLOAD, openapi_extra=BODY)
    async def import_sheet(
        sender: Sender,
        request: Request,
        deck: str,
        carrier: Annotated[str, Query(min_length=1, max_length=64, description="whose mapping it is read by")],
        *,
        file: Annotated[
            str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", description="the name of the sheet, for the log")
        ] = "sheet",
        at: Annotated[str | None, Query(max_length=40, description="from when it is in force; ISO 8601")] = None,
        publish: Annotated[bool, Query(description="put it in force now, unless `at` says when")] = False,
        skip_bad: Annotated[bool, Query(description="leave bad rows out, which the log names")] = False,
        reason: Annotated[str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = "",
    ) -> ImportView:
        """Import a rate sheet, CSV or XLSX, by the mapping of a carrier; ask /imports/{import_id} what comes of it.

        With a bad row nothing is done. Without `publish` and `at` it becomes a draft, to be looked at and published.
        """
        sender.deck(worlds.deck(sender.tenant, deck))
        job = await desk.begin_import(
            sender.tenant,
            deck,
            await uploaded(request),
            carrier=carrier,
            file=file,
            party=sender.own_party,
            author=sender.author,
            reason=reason,
            at=at,
            publish=publish,
            skip_bad=skip_bad,
        )
        return ImportView.of(job)

    _add_imports(router, desk)
    _add_versions(router, worlds, desk)


async def uploaded(request: Request) -> SheetFile:
    """Write a body down as it comes, a piece at a time and beside the event loop."""
    sheet = SheetFile()
    try:
        pieces: list[bytes] = []
        async for piece in request.stream():
            pieces.append(piece)
            if sum(map(len, pieces)) >= _PIECE:
                await asyncio.to_thread(sheet.add, b"".join(pieces))
                pieces.clear()
        await asyncio.to_thread(sheet.add, b"".join(pieces))
    except BaseException:
        sheet.close()
        raise
    return sheet


def _add_imports(router: APIRouter, desk: DeckDesk) -> None:
    def seen(sender: Scope, import_id: str) -> Import:
        sender.forbid_operators()
        job = desk.imported(sender.tenant, import_id)
        if job.party not in sender.reach.parties:
            raise UnknownImport(f"there is no import {import_id!r}, or not any more")
        return job

    @router.get("/imports/{import_id}", tags=["sheets"], responses=_IMPORT)
    async def read_import(sender: Sender, import_id: str) -> ImportView:
        """Read how far an import is, and what came of it; the last ones are kept until the server ends."""
        return ImportView.of(seen(sender, import_id))

    @router.get("/imports/{import_id}/changes", tags=["sheets"], responses=_IMPORT)
    async def list_changes(
        sender: Sender,
        import_id: str,
        kind: Annotated[
            Literal[
                "",
                "new",
                "up",
                "down",
                "increments",
                "terms",
                "renamed",
                "blocked",
                "withdrawn",
                "scheduled",
                "increments_changed",
                "losing",
            ],
            Query(description="only these"),
        ] = "",
        limit: Limit = 200,
        cursor: Cursor = None,
    ) -> ChangeList:
        """List what a sheet changes, by prefix, and who would lose by it at which length of a call."""
        rows, more = _page(seen(sender, import_id).changes, limit, cursor, mark_of(kind))
        return ChangeList(changes=rows, next=more)

    @router.get("/imports/{import_id}/rejects", tags=["sheets"], responses=_IMPORT)
    async def list_rejects(sender: Sender, import_id: str, limit: Limit = 200, cursor: Cursor = None) -> RejectList:
        """List every bad row of a sheet with its line and what is wrong."""
        rows, more = _page(seen(sender, import_id).rejects, limit, cursor)
        return RejectList(rows=[RejectView(**row) for row in rows], next=more)

    @router.get("/imports/{import_id}/notices", tags=["sheets"], responses=_IMPORT)
    async def list_notices(sender: Sender, import_id: str, limit: Limit = 200, cursor: Cursor = None) -> RejectList:
        """List the rows that are doubled or ignored, or ask for what is so already."""
        rows, more = _page(seen(sender, import_id).notices, limit, cursor)
        return RejectList(rows=[RejectView(**row) for row in rows], next=more)

    @router.get(
        "/imports/{import_id}/rejects.csv",
        tags=["sheets"],
        response_class=StreamingResponse,
        responses=_IMPORT | {200: {"content": {CSV: {"schema": {"type": "string"}}}}},
    )
    async def download_rejects(sender: Sender, import_id: str) -> StreamingResponse:
        """Write all bad rows as CSV."""
        rows = seen(sender, import_id).rejects

        async def lines() -> AsyncIterator[str]:
            parts = csv_of(rows)
            while part := await asyncio.to_thread(next, parts, ""):
                yield part

        return StreamingResponse(lines(), media_type=CSV)


def _page(rows: Rows, limit: int, cursor: str | None, mask: int = 0) -> tuple[list[Any], str | None]:
    (first,) = decode(cursor, int) if cursor is not None else (0,)
    found, more = rows.page(max(0, first), limit, mask)
    return found, None if more is None else encode(more)


def _add_versions(router: APIRouter, worlds: WorldDesk, desk: DeckDesk) -> None:
    def view(version: DeckVersion, sender: Scope) -> VersionView:
        in_force = worlds.deck(sender.tenant, version.deck).deck.version
        return VersionView.of(version, in_force=in_force, sender=sender)

    @router.get("/decks/{deck}/versions", tags=["sheets"], responses=_READING)
    async def list_versions(sender: Sender, deck: str) -> VersionList:
        """List the versions of a deck: who made them, when and why, and which is in force from when."""
        sender.deck(worlds.deck(sender.tenant, deck))
        found = await desk.versions(sender.tenant, deck)
        return VersionList(versions=[view(version, sender) for version in found])

    @router.post("/decks/{deck}/versions/{version}/publish", tags=["sheets"], responses=_COMMAND)
    async def publish_version(
        sender: Sender, deck: str, version: Version, command: ReasonCommand | None = None
    ) -> VersionView:
        """Put a draft, or a version that waits, in force now; live calls keep what they began with."""
        sender.deck(worlds.deck(sender.tenant, deck))
        reason = command.reason if command is not None else ""
        made = await desk.publish(sender.tenant, deck, version, author=sender.author, reason=reason)
        return view(made, sender)

    @router.post("/decks/{deck}/versions/{version}/schedule", tags=["sheets"], responses=_COMMAND)
    async def schedule_version(sender: Sender, deck: str, version: Version, command: ScheduleCommand) -> VersionView:
        """Have a draft come into force at an instant, or a version that waits at another one."""
        sender.deck(worlds.deck(sender.tenant, deck))
        made = await desk.schedule(
            sender.tenant, deck, version, command.at, author=sender.author, reason=command.reason
        )
        return view(made, sender)

    @router.post("/decks/{deck}/versions/{version}/discard", tags=["sheets"], responses=_COMMAND)
    async def discard_version(
        sender: Sender, deck: str, version: Version, command: ReasonCommand | None = None
    ) -> VersionView:
        """Let a draft, or a version that waits, go."""
        sender.deck(worlds.deck(sender.tenant, deck))
        reason = command.reason if command is not None else ""
        made = await desk.discard(sender.tenant, deck, version, author=sender.author, reason=reason)
        return view(made, sender)

    @router.post("/decks/{deck}/versions/{version}/rollback", tags=["sheets"], responses=_COMMAND)
    async def roll_back(
        sender: Sender, deck: str, version: Version, command: ReasonCommand | None = None
    ) -> VersionView:
        """Make the rates of an earlier version the next one, in force now."""
        sender.deck(worlds.deck(sender.tenant, deck))
        reason = command.reason if command is not None else ""
        made = await desk.roll_back(
            sender.tenant, deck, version, author=sender.author, party=sender.own_party, reason=reason
        )
        return view(made, sender)

    @router.post("/decks/{deck}/diff", tags=["sheets"], responses=_COMMAND)
    async def compare_versions(sender: Sender, deck: str, command: DiffCommand) -> ImportView:
        """Compare two versions as they hold from now on; ask /imports/{import_id}/changes for what differs."""
        sender.deck(worlds.deck(sender.tenant, deck))
        job = await desk.diff(sender.tenant, deck, command.old, command.new, party=sender.own_party)
        return ImportView.of(job)
