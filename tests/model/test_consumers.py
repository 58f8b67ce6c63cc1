"""The tag `pushed-to`: who has taken a value, within the 256 characters that Key Vault gives a tag."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.model.consumers import (
    MOST_CONSUMERS,
    Consumer,
    SonarQube,
    has_taken,
    taker,
    takers,
    widest_tag,
    with_taker,
    without_taker,
)
from shared.model.tags import LONGEST_TAG

ONE = SonarQube("https://sonarqube.contoso.com", "contoso-azure", "sonarqube-token")
LONG = replace(ONE, alm_setting="x" * 200, url=f"https://sonarqube.contoso.com/{'y' * 200}")
MANY = [replace(ONE, alm_setting=f"setting-{number}") for number in range(9)]


def test_one_consumer_is_written_in_words_as_it_was_before_there_were_several() -> None:
    assert with_taker("", ONE) == "sonarqube https://sonarqube.contoso.com contoso-azure"
    digest = hashlib.sha256(LONG.text.encode()).hexdigest()
    assert with_taker("", LONG) == f"sha256:{digest}"
    for to in (ONE, LONG):
        assert takers(with_taker("", to)) == {taker(to)}
        assert has_taken(with_taker("", to), to)
        assert without_taker(with_taker("", to), to) == ""


def test_several_are_written_by_kind_and_digest_and_each_comes_off_alone() -> None:
    both = with_taker(with_taker("", ONE), LONG)
    assert both == " ".join(sorted([taker(ONE), taker(LONG)]))
    assert has_taken(both, ONE)
    assert has_taken(both, LONG)
    assert not has_taken(both, MANY[0])
    left = without_taker(both, ONE)
    assert takers(left) == {taker(LONG)}
    assert without_taker(left, ONE) == left
    assert with_taker(left, LONG) == with_taker("", LONG), "in words again where it is the only one"


def test_what_a_person_wrote_into_the_tag_is_nobody_s() -> None:
    for text in ("", "x", "sonarqube:nonsense", "sha256:", "sonarqube:0123456789ab  "):
        assert not has_taken(text, ONE)


@given(st.lists(st.sampled_from(MANY), max_size=20), st.lists(st.sampled_from(MANY), max_size=5))
def test_a_tag_says_of_each_whether_it_has_the_value_however_it_came_there(
    given_to: list[Consumer], taken_off: list[Consumer]
) -> None:
    given_to, taken_off = given_to[:MOST_CONSUMERS], taken_off[:MOST_CONSUMERS]
    tag = widest_tag(given_to)
    for to in taken_off:
        tag = without_taker(tag, to)
    assert len(tag) <= LONGEST_TAG
    assert {to for to in MANY if has_taken(tag, to)} == set(given_to) - set(taken_off)


def test_the_newest_stays_in_a_tag_that_is_full() -> None:
    tag = ""
    for number in range(30):
        tag = with_taker(tag, replace(ONE, alm_setting=str(number)))
        assert len(tag) <= LONGEST_TAG
        assert has_taken(tag, replace(ONE, alm_setting=str(number)))
