"""The page: what needs somebody first, every PAT, what comes and what was; hostile names as text, many in time."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from sandbox.cloud.pats import Policies
from shared.model.errors import Code
from shared.model.tags import Predecessor
from shared.report.brief import Brief
from shared.report.report import Failure
from shared.rotation.overview import Ending, Overview, Runs
from shared.rotation.status import Status
from shared.views import html, page
from shared.views.attention import needs
from shared.views.page import Wanted
from tests.lab.fakes import FakeHistory
from tests.lab.lab import Lab, days, hours, item
from tests.views.estates import FACTS, NOW, large, row_of, seen_of, troubled
from tests.views.test_html import HOSTILE, parsed


@pytest.fixture(scope="module")
def seen() -> Overview:
    return seen_of(troubled())


@pytest.fixture(scope="module")
def document(seen: Overview) -> str:
    return page.estate(seen, FACTS, page.links("a-key"), Wanted(), "a-key")


def shown(document: str) -> str:
    """What a reader sees, in one line."""
    body = document[document.index("<body>") :]
    return " ".join("".join(parsed(body).text).split())


def card_of(document: str, title: str) -> str:
    cards = re.findall(r'<li class="card .*?\n</li>', document, re.DOTALL)
    (found,) = [shown(f"<body>{card}") for card in cards if title in shown(f"<body>{card}")]
    return found


def test_the_head_says_how_the_estate_is(document: str) -> None:
    head = shown(document[: document.index("<main>")])
    assert "4 PATs need you. 6 are well. 1 is paused." in head
    assert "Last run 2026-11-27 02:00, partial; next expected" in head


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (large(0), "pats.yaml has no PATs yet."),
        (large(1), "1 PAT is well."),
        (large(300), "All 300 PATs are well."),
        (large(3, state="expired", expires_on=NOW - days(1)), "1 PAT needs you. 2 are well."),
        (large(2, state="paused"), "1 PAT is well. 1 is paused."),
    ],
)
def test_the_headline_counts_what_waits_and_what_is_well(seen: Overview, says: str) -> None:
    found = needs(seen)
    waiting = {secret for need in found for secret in need.cause.secrets}
    assert page.headline(seen, waiting, found) == says


def test_one_card_for_each_cause_with_items_times_and_the_command_to_copy(document: str) -> None:
    refused = card_of(document, "Sign-in refused: svc-sonar@contoso.com")
    for says in (
        "The user name or the password is wrong.",
        "2 PATs sonarqube-pat, sonarqube-second-pat",
        "since 2026-11-26 02:00",
        "can wait until 2026-12-02 02:00, when the first value ends",
        "patrol unblock svc-sonar@contoso.com",
    ):
        assert says in refused
    assert "patrol rotate feeds-read-pat --force --adopt" in card_of(document, "Edited by hand: feeds-read-pat")


def test_what_hits_consumers_stands_first(document: str) -> None:
    assert document.index("Edited by hand") < document.index("Sign-in refused")


def test_every_pat_stands_there_soonest_first_with_its_life(document: str) -> None:
    table = document[document.index("<table") : document.index("</table>")]
    names = re.findall(r'<th role="rowheader" scope="row"><a href="[^"]*"><bdi>([^<]*)', table)
    assert names[:4] == ["feeds-read-pat", "nightly-pat", "short-lived-pat", "sonarqube-second-pat"]
    assert names[-1] == "old-tool-pat", "what nobody waits for stands last"
    assert len(names) == 11
    assert 'aria-label="Made 2026-11-27, due 2026-12-22, ends 2027-01-11, the old value ends 2026-11-30 02:00"' in table
    text = shown(f"<body>{table}")
    assert "replaced 7 hours ago; the old value works until 2026-11-30 02:00" in text
    assert "SonarQube https://sonarqube.contoso.com (contoso-azure) has it" in text


def test_a_state_is_a_word_and_a_shape_never_a_colour_alone(document: str) -> None:
    states = re.findall(r'<span class="state [^"]*">(.*?)</span>', document, re.DOTALL)
    assert len(states) == 11
    assert all("<svg" in state and parsed(state).text[-1].strip() for state in states)


def test_the_days_ahead_tell_what_is_replaced_and_what_ends(seen: Overview) -> None:
    ending = Ending("credential", "patrol-client-secret", seen.status.as_of + days(12))
    document = page.estate(replace(seen, endings=(ending,)), FACTS)
    part = document[document.index('id="ahead"') : document.index('id="runs"')]
    ahead = shown(f"<body>{part}")
    assert "Sat 2026-11-28 1 replaced short-lived-pat" in ahead
    assert "Mon 2026-11-30 1 old value ends website-build-pat" in ahead
    assert "1 credential ends patrol-client-secret" in ahead


def test_rule_18_an_old_value_that_readers_may_hold_is_not_said_to_end(seen: Overview) -> None:
    (row,) = [row for row in seen.status.pats if row.secret == "website-build-pat"]
    held = replace(row, held_until=row.predecessors[0].retire_at + days(7))
    pats = tuple(held if one is row else one for one in seen.status.pats)
    text = shown(page.estate(replace(seen, status=replace(seen.status, pats=pats)), FACTS))
    assert "Mon 2026-11-30 1 old value may end website-build-pat" in text
    assert "replaced 7 hours ago; the old value works at least until 2026-11-30 02:00" in text
    assert "old value ends 2026-11-30 or later" in text


def test_runs_are_marks_with_words_that_lead_to_their_sentences(seen: Overview, document: str) -> None:
    run = seen.runs.latest[0]
    assert f'<a href="?run={run.run_id}&amp;code=a-key">' in document
    assert "2026-11-27 02:00, partial timer, 12 rows, 4 not done" in shown(document)
    assert "What the run of 2026-11-27 02:00 said" in shown(document)
    told = shown(page.one_run(seen.runs.reports[0], FACTS, seen.status.as_of, page.links("")))
    assert "Run of 2026-11-27 02:00: partial" in told
    assert "brand-new-pat: rotated, because no value was published" in told
    assert told.count("The user name or the password is wrong.") == 1, "one cause, once"


def test_the_foot_says_where_it_comes_from(document: str) -> None:
    foot = shown(document[document.index("<footer") :].replace("<footer", "<body><footer"))
    assert "patrol 0.1.0 · deployment contoso-prod · vault kv-agents.vault.azure.net · inventory pats.yaml" in foot
    assert "Seen in the vault alone at 2026-11-27 09:00 UTC" in foot


def test_one_pat_has_its_generations_settings_and_plan() -> None:
    lab = troubled()
    seen, versions = seen_of(lab), lab.quick_world().vault.versions("website-build-pat").versions
    told = shown(page.one_pat(seen, row_of(seen), versions, lab.inventory(), FACTS, page.links("")))
    for says in (
        "2026-11-27 02:00 current 2027-01-11 02:00",
        "2026-11-02 02:00 in overlap 2026-12-17 02:00",
        "rotate_before 20d",
        "Nothing before 2026-11-30 02:00; then a run retires its predecessor, because its overlap is over then.",
        "2026-11-27 02:00: rotated, because the PAT was near expiry",
    ):
        assert says in told


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_text(name: str) -> None:
    fail = Failure(Code.FOREIGN, f"It belongs to {name}.", f"Ask {name}.")
    hostile = large(
        2, secret=name, username=name, organization=name, state="foreign", fail=fail, consumers=((name, True),)
    )
    document = page.estate(hostile, FACTS, page.links(name), Wanted(words=name), name)
    document += page.estate(hostile, FACTS)
    tags = {tag for tag, _ in parsed(document).tags}
    assert not tags & {"script", "img", "b", "iframe", "object"}
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\x1b]", document)
    assert html.plain(name) in "".join(parsed(document).text)


def test_a_key_in_the_address_is_in_every_link_and_without_one_in_none() -> None:
    seen = large(250)
    with_key = page.estate(seen, FACTS, page.links("k&y"), Wanted(number=2), "k&y")
    hrefs = [found["href"] or "" for tag, found in parsed(with_key).tags if tag == "a"]
    assert all("code=k%26y" in href for href in hrefs if not href.startswith("#"))
    assert len(hrefs) > 100
    assert "code=" not in page.estate(seen, FACTS, page.links(""), Wanted(number=2))
    assert {href for tag, found in parsed(page.estate(seen, FACTS)).tags if tag == "a" and (href := found["href"])} == {
        "#all"
    }


def test_a_filter_and_pages_show_any_part_of_ten_thousand() -> None:
    seen = large(10_000, state="expired", expires_on=NOW - days(1))
    third = page.estate(seen, FACTS, page.links(""), Wanted(number=3))
    assert "201 to 300 of 10000" in shown(third)
    assert third.count('<th role="rowheader"') == 100
    found = shown(page.estate(seen, FACTS, page.links(""), Wanted(words="PAT-000042 contoso")))
    assert "1 to 1 of 1, of 10000 in all" in found
    assert "1 to 1 of 1, of 10000" in shown(page.estate(seen, FACTS, page.links(""), Wanted(frozenset({"expired"}))))
    assert "9901 to 10000 of 10000" in shown(page.estate(seen, FACTS, page.links(""), Wanted(number=9999)))
    assert "No PAT is like that; there are 10000." in shown(
        page.estate(seen, FACTS, page.links(""), Wanted(words="nothing has this"))
    )


def test_a_thousand_are_shown_in_well_under_two_seconds() -> None:
    page.estate(large(1), FACTS)  # templates are compiled once in a process
    begun = time.process_time()
    document = page.estate(large(1000), FACTS)
    assert time.process_time() - begun < 1
    assert document.count('<th role="rowheader"') == 1000


def test_a_file_of_more_than_it_shows_says_so() -> None:
    text = shown(page.estate(large(1001), FACTS))
    assert "1 to 1000 of 1001" in text
    assert "This file has the soonest 1000" in text


def test_a_schedule_that_stopped_is_a_cause_of_its_own() -> None:
    starts = [NOW - hours(20) - hours(6) * number for number in range(5)]
    runs = tuple(
        Brief(f"{9 - number:032x}", "timer", False, at, at, "succeeded", 3, 0) for number, at in enumerate(starts)
    )
    seen = Overview(large(3).status, Runs(runs))
    assert [need.title for need in needs(seen)] == ["The runs have stopped"]
    assert "No run has begun since 2026-11-26 13:40 UTC; there was one every 6 h before." in shown(
        page.estate(seen, FACTS)
    )
    just_late = Overview(Status(starts[0] + hours(11), seen.status.pats), seen.runs)
    assert needs(just_late) == ()


def test_runs_that_nobody_knows_of_are_said_to_be_unknown() -> None:
    why = Failure(Code.REPORT_UNREADABLE, "The storage gave no answer.", "Look at it.")
    text = shown(page.estate(Overview(large(3).status, Runs(unknown=why)), FACTS))
    assert "The last run is not known: The storage gave no answer." in text
    assert "All 3 PATs are well." in text


def test_since_reaches_back_to_the_first_run_that_failed_in_a_row() -> None:
    lab = Lab([item(), item("other-pat", lifetime="90d")], quick=True)
    lab.runs = FakeHistory(lab.clock)
    lab.run()
    lab.wait(days(23))
    first = lab.clock.now()
    lab.cloud.pats.organization("contoso").policies = Policies(creation_restricted=True)
    for _ in range(3):
        lab.run()
        lab.wait(hours(6))
    lab.run("other-pat")  # says nothing of the other one
    (need,) = needs(seen_of(lab))
    assert (need.cause.code, need.cause.secrets, need.cause.since) == ("mint-refused", ("build-pat",), first)
    assert not need.since_at_least
    assert need.cause.serious_at == first + days(7)
    lab.cloud.pats.organization("contoso").policies = Policies()
    lab.run()
    assert needs(seen_of(lab)) == (), "it is well again"


def test_predecessors_of_any_number_are_shown() -> None:
    old = large(
        1, predecessors=(Predecessor(large(1).status.pats[0].predecessors[0].id, NOW + timedelta(hours=3)),) * 3
    )
    assert page.estate(old, FACTS).count('class="old"') == 3 + 1
