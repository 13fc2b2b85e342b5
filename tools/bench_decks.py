"""Measure decks: how fast a million rates are read, found and charged by, and in how much memory (make bench).

Times are of the processor, so that what else runs on the machine does not count.
"""

from __future__ import annotations

import gc
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from sipshop.billing.calendar import Calendar, Window
from sipshop.billing.deck import Extras, Rate, RateDeck, WindowPolicy
from sipshop.billing.quote import deck_quote
from sipshop.billing.rating import affordable_s, cost
from sipshop.world.decks import parse_deck

T = TypeVar("T")

RATES: Final = 1_000_000
ROUNDS: Final = 20_000


def main() -> None:
    """Print a line for each figure."""
    chosen = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        write_rates(Path(folder) / "rates.csv", chosen)

        def beside(name: str) -> Iterator[str]:
            with (Path(folder) / name).open(encoding="utf-8", newline="") as file:
                yield from file

        gc.disable()
        before, begun = memory_mb(), time.process_time()
        deck = parse_deck("currency: EUR\nrates: rates.csv\n", "deck.yaml", "million", beside)
        print(f"{len(deck.rates)} rates read in {time.process_time() - begun:.1f} s, {memory_mb() - before} MB")
    gc.enable()
    strangers = [str(chosen.randint(10**10, 10**11)) for _ in range(ROUNDS)]
    known = [f"{rate.prefix}123" for rate in chosen.sample(deck.rates, ROUNDS)]
    tell("a probe, numbers by chance", each_us(lambda number: deck.match(number, 0), strangers))
    tell("a probe, numbers with a rate", each_us(lambda number: deck.match(number, 0), known))
    tariffs = [tariff for tariff in (deck.match(number, 0) for number in known[:4]) if tariff is not None]
    calls = range(ROUNDS)
    tell("charging a call at 4 levels", each_us(lambda at: [cost(each, at, 137_000) for each in tariffs], calls))
    tell("how long an amount lasts", each_us(lambda at: affordable_s(tariffs[0], at, 5_000_000), range(ROUNDS // 10)))
    tell("a quote", each_us(lambda number: quote(deck, number), known[: ROUNDS // 10]))
    peak = with_windows()
    tell("a quote by a deck that splits calls", each_us(lambda _: quote(peak, "4930123"), range(ROUNDS // 20)))


def write_rates(path: Path, chosen: random.Random) -> None:
    """Write rates of prefixes of 6 to 10 digits."""
    prefixes: set[str] = set()
    while len(prefixes) < RATES:
        prefixes.add(str(chosen.randint(10**5, 10 ** chosen.randint(7, 10))))
    with path.open("w", encoding="utf-8") as file:
        file.write("prefix,destination,first_s,first_price,next_s\n")
        for prefix in sorted(prefixes):
            price = f"0.{chosen.randint(0, 99_999):05d}"
            file.write(
                f"{prefix},Country {prefix[:3]},{chosen.choice((1, 30, 60))},{price},{chosen.choice((1, 6, 60))}\n"
            )


def with_windows() -> RateDeck:
    """A deck with three windows that prices each second by its own."""
    texts = {"peak": "mon-fri 08:00-20:00", "weekend": "sat,sun", "holiday": "2026-12-25"}
    plain = Rate(
        prefix="49",
        destination="Germany",
        connect_fee_nanos=0,
        first_s=1,
        first_price_nanos=10**8,
        next_s=1,
        next_price_nanos=10**8,
    )
    timed = (
        Rate(
            prefix="49",
            destination="Germany",
            connect_fee_nanos=0,
            first_s=1,
            first_price_nanos=price,
            next_s=1,
            next_price_nanos=price,
            extras=Extras(window=window),
        )
        for price, window in enumerate(texts, start=10**7)
    )
    calendar = Calendar("Europe/Berlin", {name: Window.parse(text) for name, text in texts.items()})
    return RateDeck("peak", "EUR", (plain, *timed), calendar=calendar, window_policy=WindowPolicy.SPLIT)


def quote(deck: RateDeck, number: str) -> object:
    """A quote as `sipshop quote --deck` makes it, with a balance."""
    asked = deck_quote(deck, number, at_ms=1_795_000_000_000, talk_ms=137_000, funds_micros=5_000_000)
    return asked.to_json()


def each_us(run: Callable[[T], object], values: Sequence[T]) -> float:
    """Microseconds of one run."""
    begun = time.process_time()
    for value in values:
        run(value)
    return (time.process_time() - begun) / len(values) * 1e6


def tell(what: str, microseconds: float) -> None:
    """Print a figure."""
    print(f"{what}: {microseconds:.1f} us")


def memory_mb() -> int:
    """The most memory that we had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
