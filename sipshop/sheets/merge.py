"""What a sheet makes of a deck: its lines put onto the rates that are there, each from its own instant on.

A prefix that a line names has the line's price from then on, and before it what it had; one that no line names stays,
unless the sheet is full. Rates for windows stay as they are: sheets know none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from typing import Final

from sipshop.billing.deck import NO_EXTRAS, Extras, Rate, RateDeck
from sipshop.billing.errors import BadDeck
from sipshop.sheets.cells import rounded
from sipshop.sheets.mapping import Mapping, Status
from sipshop.sheets.read import Line, Reject, Terms

PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A deck with a sheet put onto it, the lines that do not fit it, and how many of its prefixes no line named.

    `done` are the lines that ask for what is so already.
    """

    deck: RateDeck
    rejects: tuple[Reject, ...]
    done: tuple[Reject, ...]
    not_mentioned: int


def merged(deck: RateDeck, lines: Iterable[Line], mapping: Mapping, *, at_ms: int) -> Merged:
    """Return what a deck becomes by a sheet that is taken in at an instant; the deck's version stays the same."""
    wanted: dict[str, list[Line]] = {}
    for line in lines:
        wanted.setdefault(line.prefix, []).append(line)
    merger = _Merger(mapping, at_ms)
    there: dict[str, list[Rate]] = {}
    for rate in deck.rates:
        there.setdefault(rate.prefix, []).append(rate)
    withdrawn_ms = _beginning(wanted) if mapping.full and wanted else None
    not_mentioned = 0
    rates: list[Rate] = []
    for prefix, had in there.items():
        if prefix in wanted:
            rates += merger.put(wanted[prefix], had)
        elif mapping.full and wanted:
            rates += merger.withdraw(had, withdrawn_ms)
        else:
            not_mentioned += 1
            rates += had
    for prefix, asked in wanted.items():
        if prefix not in there:
            rates += merger.put(asked, ())
    while wanted:  # bit by bit: no other thread runs while a long table goes
        wanted.popitem()
    while there:
        there.popitem()
    return Merged(
        deck=_with_rates(deck, rates),
        rejects=tuple(merger.rejects),
        done=tuple(merger.done),
        not_mentioned=not_mentioned,
    )


def _with_rates(deck: RateDeck, rates: Sequence[Rate]) -> RateDeck:
    return RateDeck(
        deck.name,
        deck.currency,
        tuple(rates),
        version=deck.version,
        rounding=deck.rounding,
        duration_round=deck.duration_round,
        calendar=deck.calendar,
        window_policy=deck.window_policy,
        change_policy=deck.change_policy,
        increment_rule=deck.increment_rule,
    )


def _beginning(wanted: Table[str, Sequence[Line]]) -> int | None:
    """From when on a full sheet holds: the first of its dates, where every line has one."""
    dates = [line.from_ms for lines in wanted.values() for line in lines]
    known = [date for date in dates if date is not None]
    return min(known) if len(known) == len(dates) else None


class _Merger:
    """Puts the lines of a prefix onto its rates."""

    def __init__(self, mapping: Mapping, at_ms: int) -> None:
        self._mapping = mapping
        self._at_ms = at_ms
        self._extras: dict[tuple[Extras, int | None, int | None], Extras] = {}
        self.rejects: list[Reject] = []
        self.done: list[Reject] = []

    def put(self, lines: Sequence[Line], had: Sequence[Rate]) -> Iterator[Rate]:
        """Yield the rates that a prefix has then; a line that does not fit is kept in `rejects` and changes nothing."""
        timed = [rate for rate in had if rate.extras.window is None]
        for line in sorted(lines, key=_start) if len(lines) > 1 else lines:
            try:
                timed = self._put(line, timed)
            except _Misfit as misfit:
                self.rejects.append(Reject(line.line, misfit.field, str(misfit), line.prefix))
            except BadDeck as error:
                self.rejects.append(Reject(line.line, "", str(error), line.prefix))
        yield from timed
        if len(timed) < len(had) or not timed:
            yield from (rate for rate in had if rate.extras.window is not None)

    def withdraw(self, had: Sequence[Rate], from_ms: int | None) -> Iterator[Rate]:
        """Yield what stays of a prefix that is withdrawn from an instant on; its windows go with it."""
        yield from self._before(had, from_ms)

    def _put(self, line: Line, had: list[Rate]) -> list[Rate]:
        """The rates of a prefix after one line."""
        now_ms = self._at_ms if line.from_ms is None else max(self._at_ms, line.from_ms)
        present = _in_force(had, now_ms)
        if line.status is Status.DELETE:
            if not had:
                told = f"prefix {line.prefix} is to be deleted, and is not in the deck"
                self.done.append(Reject(line.line, "status", told, line.prefix))
            return self._before(had, line.from_ms)
        made = self._made(line, present, had)
        if present is not None and _alike(present, made) and not _changes_after(had, present, line.to_ms):
            return had
        return [*self._before(had, line.from_ms), made]

    def _made(self, line: Line, present: Rate | None, had: Sequence[Rate]) -> Rate:
        """The rate that a line gives; what it does not say is as it was."""
        name = line.destination or (present.destination if present is not None else "")
        if not name:
            raise _Misfit("destination", f"prefix {line.prefix} is new, and the sheet has no destination for it")
        kept = present.extras if present is not None and not line.terms else NO_EXTRAS
        if line.status is Status.FORBID:
            terms = Terms(0, 1, 0, 1, 0)
        elif line.percent_ppm is None:
            assert line.terms is not None, "a line that sets a price has one"
            terms = line.terms
        else:
            kept, terms = self._changed(line, had)
        return Rate(
            prefix=line.prefix,
            destination=name,
            connect_fee_nanos=terms.fee_nanos,
            first_s=terms.first_s,
            first_price_nanos=terms.first_price_nanos,
            next_s=terms.next_s,
            next_price_nanos=terms.next_price_nanos,
            forbidden=line.status is Status.FORBID,
            extras=self._valid(kept if line.status is Status.SET else NO_EXTRAS, line.from_ms, line.to_ms),
        )

    def _changed(self, line: Line, had: Sequence[Rate]) -> tuple[Extras, Terms]:
        """The price before a line, changed by its percentage; the fee and whatever else there is stays."""
        if line.from_ms is None:
            # The same sheet, taken in once more, would change the price once more.
            raise _Misfit("effective_from", "is missing: a percentage needs the date from which it holds")
        before = _in_force(had, line.from_ms - 1)
        if before is None or before.forbidden:
            raise _Misfit("percent", f"prefix {line.prefix} has no price before that could be changed by a percentage")
        if before.extras.steps:
            raise _Misfit("percent", f"prefix {line.prefix} has steps, which no percentage of a sheet changes")
        assert line.percent_ppm is not None, "it is asked for"
        num = PPM + line.percent_ppm

        def times(nanos: int) -> int:
            return rounded(nanos * num, PPM, self._mapping.price_places, self._mapping.price_mode)

        return before.extras, Terms(
            before.connect_fee_nanos,
            line.terms.first_s if line.terms is not None else before.first_s,
            times(before.first_price_nanos),
            line.terms.next_s if line.terms is not None else before.next_s,
            times(before.next_price_nanos),
        )

    def _before(self, had: Iterable[Rate], from_ms: int | None) -> list[Rate]:
        """What is left of rates that end at an instant, without those that were over long ago; None is at once."""
        if from_ms is None:
            return []
        left: list[Rate] = []
        for rate in had:
            start_ms, end_ms = rate.extras.valid_from_ms, rate.extras.valid_to_ms
            if start_ms is not None and start_ms >= from_ms:
                continue
            if end_ms is not None and end_ms <= from_ms:
                left.append(rate)
            else:
                left.append(replace(rate, extras=self._valid(rate.extras, start_ms, from_ms)))
        over = [rate for rate in left if (rate.extras.valid_to_ms or 0) <= self._at_ms]
        last = max(over, key=_end, default=None)
        return [rate for rate in left if rate not in over or rate is last]

    def _valid(self, extras: Extras, from_ms: int | None, to_ms: int | None) -> Extras:
        key = extras, from_ms, to_ms
        known = self._extras.get(key)
        if known is None:
            made = replace(extras, valid_from_ms=from_ms, valid_to_ms=to_ms)
            known = self._extras[key] = NO_EXTRAS if made == NO_EXTRAS else made
        return known


class _Misfit(Exception):
    """A line does not fit the deck."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _start(line: Line) -> int:
    return -1 if line.from_ms is None else line.from_ms


def _end(rate: Rate) -> int:
    return rate.extras.valid_to_ms or 0


def _in_force(rates: Iterable[Rate], at_ms: int) -> Rate | None:
    """The rate of a prefix that holds at an instant, whatever the time of day."""
    return next((rate for rate in rates if rate.extras.is_valid(at_ms)), None)


def _alike(one: Rate, other: Rate) -> bool:
    """Whether two rates say the same, but for when they hold."""
    return (
        one.connect_fee_nanos == other.connect_fee_nanos
        and one.first_s == other.first_s
        and one.first_price_nanos == other.first_price_nanos
        and one.next_s == other.next_s
        and one.next_price_nanos == other.next_price_nanos
        and one.destination == other.destination
        and one.forbidden == other.forbidden
        and (one.extras == other.extras or _timeless(one.extras) == _timeless(other.extras))
    )


def _timeless(extras: Extras) -> Extras:
    if extras.valid_from_ms is None and extras.valid_to_ms is None:
        return extras
    return replace(extras, valid_from_ms=None, valid_to_ms=None)


def _changes_after(had: Iterable[Rate], present: Rate, to_ms: int | None) -> bool:
    """Whether something else comes after the rate in force than the line wants: another rate, or another end."""
    if present.extras.valid_to_ms != to_ms:
        return True
    start_ms = present.extras.valid_from_ms
    return any(
        rate is not present
        and rate.extras.valid_from_ms is not None
        and (start_ms is None or rate.extras.valid_from_ms > start_ms)
        for rate in had
    )
