"""The check of a soak, on made-up readings: it finds what leaks, and nothing that only wavers."""

from __future__ import annotations

from random import Random

import pytest

from tests.drills.leaks import Reading, growths, slope

BOUNDS = {"files": 1.0, "KiB": 100.0}


def readings(kind: str, figures: list[float], *, units_each: int = 100) -> list[Reading]:
    return [
        Reading((number + 1) * units_each, {("web", kind): figure})
        for number, figure in enumerate(figures)
    ]


class TestSlope:
    def test_it_is_that_of_a_line(self) -> None:
        assert slope([(0, 1), (10, 3), (30, 7)]) == pytest.approx(0.2)

    def test_one_odd_reading_moves_it_little(self) -> None:
        points = [(float(x), 5.0) for x in range(11)]
        points[-1] = (10.0, 1_000.0)
        assert slope(points) == 0

    def test_it_needs_two_points(self) -> None:
        with pytest.raises(ValueError, match="two points"):
            slope([(1, 1)])


class TestGrowths:
    def test_what_stays_is_no_leak(self) -> None:
        [found] = growths(readings("files", [30, 30, 30]), BOUNDS)
        assert not found.is_leak
        assert found.per_thousand == 0

    def test_one_file_in_a_hundred_units_is_a_leak(self) -> None:
        [found] = growths(readings("files", [30, 31, 32, 33]), BOUNDS)
        assert found.is_leak
        assert found.per_thousand == pytest.approx(10)

    def test_noise_is_none(self) -> None:
        random = Random(7)
        noisy = [50_000 + random.uniform(-300, 300) for _ in range(150)]
        [found] = growths(readings("KiB", noisy), BOUNDS)
        assert not found.is_leak

    def test_a_leak_below_the_noise_is_found_in_a_long_soak(self) -> None:
        random = Random(7)
        # 20 KiB a round, in noise of 600.
        leaking = [50_000 + 20 * number + random.uniform(-300, 300) for number in range(150)]
        [found] = growths(readings("KiB", leaking), BOUNDS)
        assert found.is_leak
        assert found.per_thousand == pytest.approx(200, rel=0.1)

    def test_a_cache_that_fills_once_is_none(self) -> None:
        filled = [50_000.0] * 5 + [58_000.0] * 25
        [found] = growths(readings("KiB", filled), BOUNDS)
        assert not found.is_leak

    def test_each_owner_is_judged_by_itself(self) -> None:
        two = [
            Reading(number * 100, {("web", "files"): 30 - number, ("worker", "files"): 9 + number})
            for number in range(4)
        ]
        assert [found.owner for found in growths(two, BOUNDS) if found.is_leak] == ["worker"]

    def test_a_kind_without_a_bound_is_refused(self) -> None:
        with pytest.raises(ValueError, match="sockets has no bound"):
            growths(readings("sockets", [1, 1, 1]), BOUNDS)

    def test_two_readings_are_too_few(self) -> None:
        with pytest.raises(ValueError, match="too few"):
            growths(readings("files", [1, 1]), BOUNDS)
