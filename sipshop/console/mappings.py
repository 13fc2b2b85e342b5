"""The part of the API that is about mappings: how the rate sheets of a carrier are read. Each party has its own."""

from __future__ import annotations

from typing import Annotated, Any, Final, Protocol, Self

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from sipshop.billing.cdr import utc_text
from sipshop.config import Problem
from sipshop.console.decks import BODY, uploaded
from sipshop.console.scope import Sender, problems
from sipshop.sheets import BadMapping
from sipshop.store import SheetMapping
from sipshop.switch import SheetFile

YAML: Final = "application/yaml"


class MappingDesk(Protocol):
    """What the API asks of the switch about mappings; `sipshop.switch.decks` keeps it."""

    async def mappings(self, tenant: str, party: str) -> list[SheetMapping]:
        """The mappings of a party."""
        ...

    async def mapping(self, tenant: str, party: str, name: str) -> SheetMapping:
        """One mapping."""
        ...

    async def save_mapping(self, tenant: str, party: str, name: str, text: str, author: str) -> SheetMapping:
        """Keep a mapping."""
        ...

    async def remove_mapping(self, tenant: str, party: str, name: str, author: str) -> None:
        """Let a mapping go."""
        ...

    async def guess(self, sheet: SheetFile, *, name: str) -> str:
        """The text of a mapping that a sheet's header suggests."""
        ...


class MappingView(BaseModel):
    """A mapping, under the name of the carrier whose sheets it reads."""

    carrier: str
    mapping: str = Field(description="YAML")
    author: str
    saved_at: str

    @classmethod
    def of(cls, mapping: SheetMapping) -> Self:
        """The view of a mapping."""
        return cls(
            carrier=mapping.name,
            mapping=mapping.mapping,
            author=mapping.author,
            saved_at=utc_text(mapping.at_ms),
        )


class MappingList(BaseModel):
    """The mappings of a party, by carrier."""

    mappings: list[MappingView]


class GuessView(BaseModel):
    """A mapping that nobody has looked at yet, and that is kept nowhere."""

    mapping: str = Field(description="YAML")


Carrier = Annotated[str, Path(max_length=64, pattern=r"^[^\x00-\x20\x7f/](?:[^\x00-\x1f\x7f/]*[^\x00-\x20\x7f/])?$")]
_READING: Final = problems(_404="unknown_mapping", _422="invalid_request", _503="unavailable")
_SAVING: Final = problems(
    _404="unknown_mapping",
    _413="the mapping is too large",
    _422="bad_mapping with every error in `errors` (file, line, field, message), or invalid_request",
    _503="unwritable, unavailable: nothing was changed",
)
_GUESS: Final = problems(
    _413="the sheet is too large", _422="bad_sheet: no header is found; or invalid_request", _503="unavailable"
)
_TEXT: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {YAML: {"schema": {"type": "string"}}}},
}


def add_mappings(router: APIRouter, desk: MappingDesk) -> None:
    """Add the endpoints to the router of the API."""

    @router.get("/mappings", tags=["sheets"], responses=problems(_503="unavailable"))
    async def list_mappings(sender: Sender) -> MappingList:
        """List your mappings."""
        sender.forbid_operators()
        found = await desk.mappings(sender.tenant, sender.own_party)
        return MappingList(mappings=[MappingView.of(mapping) for mapping in found])

    @router.get("/mappings/{carrier}", tags=["sheets"], responses=_READING)
    async def read_mapping(sender: Sender, carrier: Carrier) -> MappingView:
        """Read the mapping of a carrier."""
        sender.forbid_operators()
        return MappingView.of(await desk.mapping(sender.tenant, sender.own_party, carrier))

    @router.put("/mappings/{carrier}", tags=["sheets"], responses=_SAVING, openapi_extra=_TEXT)
    async def save_mapping(sender: Sender, request: Request, carrier: Carrier) -> MappingView:
        """Keep a mapping for a carrier, in the place of the one that was there."""
        sender.forbid_operators()
        body = await request.body()
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise BadMapping((Problem(carrier, 1, "", "is not UTF-8 text"),)) from None
        made = await desk.save_mapping(sender.tenant, sender.own_party, carrier, text, sender.author)
        return MappingView.of(made)

    @router.delete("/mappings/{carrier}", tags=["sheets"], status_code=204, responses=_READING)
    async def remove_mapping(sender: Sender, carrier: Carrier) -> Response:
        """Let the mapping of a carrier go; what was imported by it stays."""
        sender.forbid_operators()
        await desk.remove_mapping(sender.tenant, sender.own_party, carrier, sender.author)
        return Response(status_code=204)

    @router.post("/mapping-guesses", tags=["sheets"], responses=_GUESS, openapi_extra=BODY)
    async def guess_mapping(
        sender: Sender,
        request: Request,
        sheet: Annotated[
            str, Query(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$", description="of a workbook, by name [the first]")
        ] = "",
    ) -> GuessView:
        """Suggest a mapping from the header of a sheet: look at it before you save it."""
        sender.forbid_operators()
        return GuessView(mapping=await desk.guess(await uploaded(request), name=sheet))
