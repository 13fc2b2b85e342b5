"""Who may try a password now: what waits, what does not, and that a shop cannot be locked out of its desk."""

from sipshop.console.pages.throttle import (
    FIRST_WAIT_MS,
    FORGOTTEN_MS,
    FREE_OF_NAME,
    FREE_OF_PAIR,
    FREE_OF_SOURCE,
    LONGEST_WAIT_MS,
    MOST,
    Throttle,
)


def failed(throttle: Throttle, name: str, source: str, times: int, now_ms: int = 0) -> Throttle:
    for _ in range(times):
        throttle.failed(name, source, now_ms)
    return throttle


def test_a_few_tries_are_free() -> None:
    assert failed(Throttle(), "ana", "shop", FREE_OF_PAIR - 1).wait_ms("ana", "shop", 0) == 0


def test_then_each_wait_is_twice_as_long_up_to_an_end() -> None:
    throttle = failed(Throttle(), "ana", "shop", FREE_OF_PAIR - 1)
    waits = []
    for _ in range(12):
        throttle.failed("ana", "shop", 0)
        waits.append(throttle.wait_ms("ana", "shop", 0))
    assert waits[:3] == [FIRST_WAIT_MS, 2 * FIRST_WAIT_MS, 4 * FIRST_WAIT_MS]
    assert waits[-1] == LONGEST_WAIT_MS
    assert throttle.wait_ms("ana", "shop", LONGEST_WAIT_MS) == 0
    assert throttle.wait_ms("ben", "shop", 0) == 0


def test_the_right_password_ends_it() -> None:
    throttle = failed(Throttle(), "ana", "shop", FREE_OF_PAIR)
    throttle.passed("ana", "shop")
    assert throttle.wait_ms("ana", "shop", 0) == 0


def test_a_name_that_is_tried_from_everywhere_waits_but_not_where_it_has_come_in() -> None:
    throttle = Throttle()
    throttle.failed("ana", "shop", 0)  # each try is counted before it is known to be right
    throttle.passed("ana", "shop")
    for number in range(FREE_OF_NAME):
        throttle.failed("ana", f"bot {number}", 0)
    assert throttle.wait_ms("ana", "another bot", 0) > 0
    assert throttle.wait_ms("ana", "shop", 0) == 0


def test_a_source_that_tries_everybody_waits_but_not_those_who_have_come_in_there() -> None:
    throttle = Throttle()
    throttle.failed("ana", "shop", 0)
    throttle.passed("ana", "shop")
    for number in range(FREE_OF_SOURCE):
        throttle.failed(f"guess {number}", "shop", 0)
    assert throttle.wait_ms("another guess", "shop", 0) > 0
    assert throttle.wait_ms("ana", "shop", 0) == 0


def test_what_was_wrong_long_ago_is_forgotten() -> None:
    throttle = failed(Throttle(), "ana", "shop", 3 * FREE_OF_PAIR)
    throttle.failed("ana", "shop", FORGOTTEN_MS + 1)
    assert throttle.wait_ms("ana", "shop", FORGOTTEN_MS + 1) == 0


def test_the_tables_have_an_end() -> None:
    throttle = Throttle()
    for number in range(MOST):
        throttle.failed(f"{number}", "s", 0)
        throttle.passed(f"{number}", "s")
        throttle.failed(f"{number}", f"{number}", 0)
    assert len(throttle._wrong) <= MOST
    assert len(throttle._trusted) <= MOST
