"""Threads of a run: users side by side, and free threads help a user with many items."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from shared.report.report import Outcome
from shared.rotation.threads import MOST_FOR_ONE_USER, Threads
from tests.lab.lab import Lab, days, item

WITHIN = 10.0


def meeting(people: int) -> Callable[[], str]:
    """A job that ends only when so many of its kind are at work at once."""
    barrier = threading.Barrier(people)

    def job() -> str:
        barrier.wait(WITHIN)
        return threading.current_thread().name

    return job


def test_jobs_run_side_by_side_and_their_results_keep_the_order() -> None:
    meet = meeting(4)
    jobs = [lambda number=number: (number, meet()) for number in range(4)]
    assert [number for number, _ in Threads(4).side_by_side(jobs)] == [0, 1, 2, 3]


def test_threads_that_no_user_wants_help_with_the_items_of_another() -> None:
    hands = Threads(4)
    meet = meeting(4)
    assert len(set(hands.side_by_side([lambda: hands.together([meet] * 4)])[0])) == 4


def test_a_thread_that_a_user_left_helps_the_others_then() -> None:
    hands = Threads(2)
    left = threading.Event()

    def short() -> list[str]:
        left.set()
        return []

    def many() -> list[str]:
        left.wait(WITHIN)
        return hands.together([lambda: threading.current_thread().name] * 50 + [meeting(2)] * 2)

    assert len(set(hands.side_by_side([many, short])[0])) == 2


def test_no_user_is_given_more_threads_than_azure_devops_bears() -> None:
    hands, lock = Threads(32), threading.Lock()
    now, most = [0], [0]
    meet = threading.Barrier(MOST_FOR_ONE_USER)

    def job() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        meet.wait(WITHIN)
        with lock:
            now[0] -= 1

    hands.side_by_side([lambda: hands.together([job] * (3 * MOST_FOR_ONE_USER))])
    assert most[0] == MOST_FOR_ONE_USER


def test_with_one_thread_all_happens_in_the_callers_own_in_order() -> None:
    hands, order = Threads(1), list[tuple[int, str]]()
    me = threading.current_thread().name

    def user(number: int) -> None:
        hands.together([lambda: order.append((number, threading.current_thread().name))] * 2)

    hands.side_by_side([lambda: user(1), lambda: user(2)])
    assert order == [(1, me), (1, me), (2, me), (2, me)]


def test_a_job_that_fails_fails_its_caller_and_ends_its_threads() -> None:
    hands = Threads(2)

    def broken() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        hands.side_by_side([broken, lambda: None])
    assert not [one for one in threading.enumerate() if one.name.startswith("run_")]


def test_rule_14_items_of_one_user_side_by_side_end_as_they_do_one_after_the_other() -> None:
    lab = Lab([item(f"pat-{number:02}") for number in range(20)])
    first = lab.run(parallel=8)
    assert [row.outcome for row in first.items] == [Outcome.DONE] * 20
    assert [row.secret for row in first.items] == [f"pat-{number:02}" for number in range(20)]
    second = lab.later(days(24), parallel=8)
    assert [row.outcome for row in second.items] == [Outcome.DONE] * 20
    lab.later(days(2), parallel=8)
    assert len(lab.live()) == 20
    assert all(lab.works(f"pat-{number:02}") for number in range(20))
