"""Durations as people write them in pats.yaml and the settings."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model import durations


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("45m", timedelta(minutes=45)),
        ("0d", timedelta(0)),
        ("007d", timedelta(days=7)),
        ("99999d", timedelta(days=99999)),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, means: timedelta) -> None:
    assert durations.parse(text) == means


@pytest.mark.parametrize(
    "text",
    ["", "30", "d", "1.5d", "-1d", "+1d", "1 d", " 1d", "1d\n", "1d12h", "30s", "1w", "30D", "100000d", "٣d", "P30D"],
)
def test_anything_else_is_refused_with_an_example_of_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write a whole number and d, h or m, such as 30d"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0m"),
        (timedelta(minutes=59), "59m"),
        (timedelta(minutes=60), "1h"),
        (timedelta(minutes=90), "90m"),
        (timedelta(hours=24), "1d"),
        (timedelta(hours=36), "36h"),
        (timedelta(days=365), "365d"),
        (timedelta(minutes=5, seconds=20), "5m"),
    ],
)
def test_a_duration_is_shown_in_the_largest_unit_that_is_exact(duration: timedelta, text: str) -> None:
    assert durations.show(duration) == text


@given(st.integers(0, 99_999), st.sampled_from("dhm"))
def test_what_is_shown_reads_back_as_the_same_time(number: int, unit: str) -> None:
    duration = durations.parse(f"{number}{unit}")
    # Written out, minutes of many years would need more digits than the reader takes.
    if len(durations.show(duration)) <= 6:
        assert durations.parse(durations.show(duration)) == duration
