"""The floor of a shop over HTTP: sessions that move, notes, cut calls, and the alarms of emergency calls."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final, Protocol, Self

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field

from sipshop.billing.cdr import utc_text
from sipshop.console.scope import Scope, Sender, problems
from sipshop.console.views import BoothView, Command, one_line
from sipshop.store import Alarm, UnknownAlarm
from sipshop.switch import Card

MAX_NOTE: Final = 200

_REFUSALS: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _413="the body is too large",
    _404="unknown_booth, or no_session: the booth has no unpaid session",
    _409="call_alive: a call of the session goes on",
    _422="invalid_request, or bad_terms: the other booth is taken or disabled",
    _503="unwritable, unavailable: nothing was changed",
)
_ALARMS: Final = problems(_404="unknown_alarm", _422="invalid_request", _503="unwritable, unavailable")


class Floor(Protocol):
    """What is done in a shop besides opening and locking; `sipshop.switch.floor` does it."""

    def cards(self, tenant: str, shop: str, booths: Collection[str] | None = None) -> list[Card]:
        """Every booth of a shop, or these of it, with all that a board shows of them."""
        ...

    def booths(self, tenant: str, shop: str) -> list[str]:
        """The names of a shop's booths, in the order of its world."""
        ...

    def alarms(self, tenant: str, shops: Collection[str]) -> list[Alarm]:
        """The emergency calls of these shops that nobody has acknowledged, the oldest first."""
        ...

    async def move(self, tenant: str, booth: str, to: str, author: str) -> object:
        """Let a booth's unpaid session go on in another booth of the shop."""
        ...

    async def note(self, tenant: str, booth: str, note: str, author: str) -> None:
        """Write something down about a booth's unpaid session."""
        ...

    async def cut(self, tenant: str, booth: str, author: str) -> int:
        """End a booth's calls, but for emergency calls."""
        ...

    async def acknowledge(self, tenant: str, call_id: str, author: str) -> Alarm:
        """Note that somebody has seen to an emergency call."""
        ...


class FloorDesk(Protocol):
    """Where the floor is found."""

    @property
    def floor(self) -> Floor:
        """The floor of every shop."""
        ...


class MoveSessionCommand(Command):
    """Let the customer go on in another booth of the same shop."""

    to: str = Field(min_length=1, max_length=100, description="the booth that he goes to; it has no unpaid session")


class NoteCommand(Command):
    """Write something down about a booth's unpaid session; empty: nothing any more."""

    note: Annotated[
        str, Field(max_length=MAX_NOTE, description="one line"), AfterValidator(lambda text: text and one_line(text))
    ]


class AlarmView(BaseModel):
    """An emergency call; null until somebody has seen to it."""

    call_id: str
    shop: str
    booth: str
    dialled: str
    at: str
    acknowledged_at: str | None
    acknowledged_by: str | None

    @classmethod
    def of(cls, alarm: Alarm) -> Self:
        """The view of an alarm."""
        seen_at_ms = alarm.acknowledged_at_ms
        return cls(
            call_id=alarm.call_id,
            shop=alarm.shop,
            booth=alarm.booth,
            dialled=alarm.dialled,
            at=utc_text(alarm.at_ms),
            acknowledged_at=None if seen_at_ms is None else utc_text(seen_at_ms),
            acknowledged_by=alarm.acknowledged_by,
        )


class AlarmList(BaseModel):
    """The emergency calls that nobody has acknowledged, the oldest first."""

    alarms: list[AlarmView]


def add_floor(router: APIRouter, desk: FloorDesk) -> None:
    """Add the endpoints of the floor."""

    @router.post("/booths/{booth}/move", tags=["booths"], responses=_REFUSALS)
    async def move_session(sender: Sender, booth: str, command: MoveSessionCommand) -> BoothView:
        """Let a booth's session go on in another booth of its shop, its bill with it; answers with that booth."""
        await move(desk.floor, sender, booth, command.to)
        return BoothView.of(sender.booth(command.to))

    @router.post("/booths/{booth}/note", tags=["booths"], responses=_REFUSALS)
    async def note_session(sender: Sender, booth: str, command: NoteCommand) -> BoothView:
        """Write something down about a booth's unpaid session, for whoever is at the desk."""
        sender.booth(booth)
        await desk.floor.note(sender.tenant, booth, command.note, sender.author)
        return BoothView.of(sender.booth(booth))

    @router.post("/booths/{booth}/cut", tags=["booths"], responses=_REFUSALS)
    async def cut_calls(sender: Sender, booth: str) -> BoothView:
        """End a booth's calls; it stays open if it is. An emergency call is never cut."""
        sender.booth(booth)
        await desk.floor.cut(sender.tenant, booth, sender.author)
        return BoothView.of(sender.booth(booth))

    @router.get("/alarms", tags=["alarms"], responses=problems(_422="invalid_request"))
    async def list_alarms(sender: Sender) -> AlarmList:
        """List the emergency calls that nobody has acknowledged."""
        found = desk.floor.alarms(sender.tenant, sender.reach.shops)
        return AlarmList(alarms=[AlarmView.of(alarm) for alarm in found])

    @router.post("/alarms/{call_id}/acknowledge", tags=["alarms"], responses=_ALARMS)
    async def acknowledge_alarm(sender: Sender, call_id: str) -> AlarmView:
        """Say that somebody has seen to an emergency call; the desk's log names him."""
        return AlarmView.of(await acknowledge(desk.floor, sender, call_id))


async def move(floor: Floor, sender: Scope, booth: str, to: str) -> None:
    """Move a session between two booths that the sender reaches; raises UnknownBooth for one that he does not."""
    sender.booth(booth)
    sender.booth(to)
    await floor.move(sender.tenant, booth, to, sender.author)


async def acknowledge(floor: Floor, sender: Scope, call_id: str) -> Alarm:
    """Acknowledge an alarm of a shop that the sender reaches; raises UnknownAlarm for another's, or a done one."""
    if not any(alarm.call_id == call_id for alarm in floor.alarms(sender.tenant, sender.reach.shops)):
        raise UnknownAlarm(f"no emergency call named {call_id!r} waits to be acknowledged")
    return await floor.acknowledge(sender.tenant, call_id, sender.author)
