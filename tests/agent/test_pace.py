"""How long a step's parts still take is told by those that are done."""

from __future__ import annotations

from agent.pace import Pace


def test_the_rest_takes_as_long_as_what_is_done_did() -> None:
    times = iter([100.0, 102.0, 104.0, 106.0, 121.0])
    pace = Pace(0, 10, lambda: next(times))
    assert [pace.begins(number).seconds_left for number in (1, 2, 3)] == [None, None, None]
    told = pace.begins(4)
    assert (told.kind, told.done, told.total) == ("part", 4, 10)
    assert told.seconds_left == 2 * 7  # the fourth and those behind it
    assert pace.begins(10).seconds_left == 21 / 9


def test_parts_that_stood_before_count_for_nothing() -> None:
    times = iter([0.0, 10.0, 20.0])
    pace = Pace(0, 100, lambda: next(times))
    assert pace.begins(91).seconds_left is None
    assert pace.begins(92).seconds_left is None
    assert pace.begins(93).seconds_left == 80
