"""The gate's evidence as a truth table: what may end, be extended or disabled, and every condition that forbids it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.model.clock import Moment, VaultInstant
from shared.model.errors import Code, NotDone
from shared.model.pats import Minted, Owner, Pat, PatId
from shared.model.ports import PatApi, Vault
from shared.model.secret_state import Current, VersionListing
from shared.model.secret_text import SecretText
from shared.model.steps import Because
from shared.model.tags import Mark, Predecessor
from shared.rotation import gate
from shared.rules import may_end
from shared.rules.may_end import MayDisable, MayEnd, MayExtend
from shared.rules.orphans import Circumstances, Standing, is_under_way, may_have_leaked
from tests.rules.test_orphans import ENDS, KNOWN, listing, orphan, version
from tests.rules.test_plan import CURRENT, FORMER, MARK, NOW, OLDER, SECOND, a_pat, a_stamp, an_item, days, published

AT = VaultInstant(NOW)
OWNER = Owner("svc@contoso.com", "contoso")
OTHERS = Mark("patrol/dev-abcdef")
NAME = "Build-Pat"


def said(evidence: object) -> dict[str, Any]:
    """What the evidence says, field by field."""
    assert isinstance(evidence, MayEnd | MayExtend | MayDisable)
    return {one.name: getattr(evidence, one.name) for one in fields(evidence) if one.name != "_made"}


def current(identity: PatId = CURRENT, age: timedelta = days(1), name: str = "v") -> Current:
    return Current(version(identity, age, name), SecretText("a value"), AT)


# --- a PAT that this process made ------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [None, NotDone(Code.PUBLISH_REFUSED, "", "")], ids=["not sent", "refused"])
def test_rule_2_what_was_made_and_not_published_may_end(refusal: NotDone | None) -> None:
    minted = Minted(a_pat(FORMER), SecretText("a value"), Moment(NOW, timedelta(0)))
    assert said(may_end.unpublished(minted, OWNER, NAME, refusal, AT)) == {
        "pat": FORMER,
        "owner": OWNER,
        "secret": NAME,
        "because": None,
        "at": AT,
        "versions": (),
    }


def test_what_a_person_names_by_id_may_end_and_keeps_its_name_when_it_is_extended() -> None:
    ended = {"pat": FORMER, "owner": OWNER, "secret": "", "because": None, "at": AT, "versions": ()}
    assert said(may_end.named_by_a_person(FORMER, OWNER, AT)) == ended
    extended = may_end.extension_by_a_person(a_pat(FORMER, display_name="somebody's"), OWNER)
    assert said(extended) == {"pat": FORMER, "owner": OWNER, "display_name": "somebody's"}


# --- predecessors ----------------------------------------------------------------------------------------------------

OVER = Predecessor(FORMER, NOW)


def predecessor_over(**more: Any) -> MayEnd | None:
    given: dict[str, Any] = {
        "predecessor": OVER,
        "secret": published(stamp=a_stamp(predecessors=(OVER,))),
        "listed": a_pat(FORMER),
        "item": an_item(),
        "name": "build-pat",
        "owner": OWNER,
        "mark": MARK,
        "overlap": days(1),
        "current": version(CURRENT, days(2)),
        "at": AT,
        "because": Because.OVERLAP_OVER,
    }
    return may_end.predecessor_over(**{**given, **more})


def test_rule_7_a_predecessor_whose_overlap_is_over_may_end() -> None:
    assert said(predecessor_over()) == {
        "pat": FORMER,
        "owner": OWNER,
        "secret": "build-pat",
        "because": Because.OVERLAP_OVER,
        "at": AT,
        "versions": (version(CURRENT, days(2)),),
    }


@pytest.mark.parametrize(
    "but",
    [
        {"current": version(OLDER, days(2))},
        {"current": version(None, days(2))},
        {"listed": a_pat(OLDER)},
        {"listed": a_pat(FORMER, display_name="somebody's")},
        {"listed": a_pat(FORMER, display_name=MARK.display_name("other-pat"))},
        {"mark": OTHERS},
        {"at": VaultInstant(NOW - SECOND)},
        {"overlap": days(11)},
    ],
    ids=[
        "another version is current",
        "somebody pasted a value",
        "another PAT was listed",
        "renamed by a person",
        "made for another secret",
        "another deployment's",
        "a second too early",
        "its successor was not current for the whole overlap",
    ],
)
def test_rule_7_a_predecessor_lives_on_where_one_witness_is_missing(but: dict[str, Any]) -> None:
    assert predecessor_over(**but) is None


# --- orphans ---------------------------------------------------------------------------------------------------------


def an_orphan(pat: Pat | None = None, name: str = NAME, versions: VersionListing | None = None) -> MayEnd | Standing:
    of = Circumstances(published(), days(1), managed=True, mark=MARK)
    return may_end.orphan(pat or orphan(), name, OWNER, of, versions or listing(version(CURRENT, days(1))), KNOWN)


def test_rule_4_an_orphan_may_end_with_what_its_versions_showed() -> None:
    assert said(an_orphan()) == {
        "pat": OLDER,
        "owner": OWNER,
        "secret": NAME,
        "because": Because.ORPHAN,
        "at": AT,
        "versions": (version(CURRENT, days(1)),),
    }


def test_rule_4_what_is_no_orphan_is_told_as_what_it_is() -> None:
    assert an_orphan(name="other-pat") is Standing.KEEP
    assert an_orphan(orphan(minted=days(0))) is Standing.KEEP
    assert an_orphan(versions=listing(version(None, days(1)))) is Standing.HELD


# --- an emergency, a decommissioning ---------------------------------------------------------------------------------


def replaced(pat: Pat, before: datetime = NOW, **more: Any) -> MayEnd | None:
    given: dict[str, Any] = {"name": NAME, "mark": MARK, "published": current(), "versions": listing()}
    given |= more
    return may_end.replaced_generation(pat, owner=OWNER, made_before=before, **given)


def test_rule_8_what_was_made_before_an_emergency_may_end() -> None:
    there = listing(version(FORMER, days(2)))
    assert said(replaced(a_pat(FORMER), versions=there)) == {
        "pat": FORMER,
        "owner": OWNER,
        "secret": NAME,
        "because": Because.EMERGENCY,
        "at": AT,
        "versions": there.versions,
    }


def test_rule_8_of_the_second_that_it_leaked_in_a_pat_ends_and_of_the_next_one_it_stays() -> None:
    there = listing(version(FORMER, days(2)))
    leaked = NOW + timedelta(milliseconds=900)
    assert replaced(a_pat(FORMER, starts=NOW), leaked, versions=there) is not None
    assert replaced(a_pat(FORMER, starts=NOW + SECOND), leaked, versions=there) is None


def test_rule_8_what_is_published_lives() -> None:
    assert replaced(a_pat(CURRENT)) is None
    assert replaced(a_pat(FORMER), published=current(FORMER)) is None


@pytest.mark.parametrize("because", [Because.EMERGENCY, Because.DECOMMISSIONED])
def test_rule_8_what_is_given_up_may_end_by_its_mark_alone(because: Because) -> None:
    young, there = a_pat(FORMER, starts=NOW), listing(version(FORMER, days(0)))
    ended = may_end.given_up(young, NAME, OWNER, MARK, there, because)
    assert said(ended) == {
        "pat": FORMER,
        "owner": OWNER,
        "secret": NAME,
        "because": because,
        "at": AT,
        "versions": there.versions,
    }
    assert may_end.given_up(young, NAME, OWNER, OTHERS, there, because) is None
    assert may_end.given_up(young, "other-pat", OWNER, MARK, there, because) is None
    assert may_end.given_up(young, NAME, OWNER, MARK, listing(), because) is None, "it may be on its way into the vault"


# --- on its way, or leaked already -----------------------------------------------------------------------------------

TWO_HOURS = timedelta(hours=2)


def test_rule_2_what_is_young_and_named_by_no_version_may_be_on_its_way() -> None:
    assert is_under_way(a_pat(FORMER, starts=NOW - TWO_HOURS + SECOND), listing(version(CURRENT, days(1))))
    assert not is_under_way(a_pat(FORMER, starts=NOW - TWO_HOURS), listing())
    assert not is_under_way(a_pat(FORMER, starts=NOW), listing(version(CURRENT, days(1)), version(FORMER, days(0))))


def test_rule_8_a_version_that_nothing_explains_may_hold_what_seems_to_be_on_its_way() -> None:
    """Wiped, pasted or forged, and not older than the PAT; the clocks of two services differ by up to five minutes."""
    young, five = a_pat(FORMER, starts=NOW), timedelta(minutes=5)
    assert may_have_leaked(young, listing(version(CURRENT, days(1)), version(None, five)), KNOWN)
    assert not may_have_leaked(young, listing(version(None, five + SECOND)), KNOWN)
    assert not may_have_leaked(young, listing(version(CURRENT, timedelta(0))), KNOWN), "it says what it holds"
    assert may_have_leaked(young, listing(version(OLDER, timedelta(0))), KNOWN), "nobody knows what it says"
    again = listing(version(CURRENT, days(1)), replace(version(CURRENT, timedelta(0)), version="put back"))
    assert may_have_leaked(young, again, KNOWN), "an older version says the same"
    assert not may_have_leaked(young, listing(), KNOWN)


# --- a later expiry --------------------------------------------------------------------------------------------------


def renewal(pat: Pat, name: str = NAME, mark: Mark = MARK, ends: datetime | None = ENDS) -> MayExtend | None:
    return may_end.renewal(pat, replace(published(), expires_on=ends), name, OWNER, mark)


def test_rule_9_the_pat_that_tag_and_expiry_name_may_be_renewed_under_its_mark() -> None:
    named = MARK.display_name(NAME)
    assert said(renewal(a_pat(CURRENT, ends=ENDS))) == {"pat": CURRENT, "owner": OWNER, "display_name": named}


@pytest.mark.parametrize(
    ("pat", "more"),
    [
        (a_pat(FORMER, ends=ENDS), {}),
        (a_pat(CURRENT, ends=ENDS, display_name="somebody's"), {}),
        (a_pat(CURRENT, ends=ENDS), {"name": "other-pat"}),
        (a_pat(CURRENT, ends=ENDS), {"mark": OTHERS}),
        (a_pat(CURRENT, ends=ENDS + SECOND), {}),
        (a_pat(CURRENT, ends=ENDS), {"ends": None}),
    ],
    ids=["another's id", "renamed", "another secret's", "another deployment's", "another expiry", "no expiry"],
)
def test_rule_9_nothing_is_renewed_where_one_witness_is_missing(pat: Pat, more: dict[str, Any]) -> None:
    assert renewal(pat, **more) is None


# --- versions --------------------------------------------------------------------------------------------------------


def test_rule_7_a_version_on_which_another_lies_may_be_disabled_and_the_newest_never() -> None:
    newest = current()
    assert said(may_end.older_version(version(OLDER, days(2)), NAME, newest)) == {
        "secret": NAME,
        "version": f"v{OLDER}",
    }
    tied = version(OLDER, days(1))
    assert may_end.older_version(tied, NAME, newest) is not None, "the vault says which of one second is current"
    assert may_end.older_version(newest.version, NAME, newest) is None
    assert may_end.older_version(version(OLDER, days(1) - SECOND), NAME, newest) is None, "written meanwhile"


def test_rule_7_the_newest_version_is_disabled_by_a_decommissioning_alone() -> None:
    newest = version(CURRENT, days(1))
    allowed = may_end.decommissioned(newest, an_item(decommission=True))
    assert said(allowed) == {"secret": "build-pat", "version": newest.version}
    assert may_end.decommissioned(newest, an_item()) is None


def test_a_replaced_version_of_a_token_may_be_disabled_and_the_current_one_never() -> None:
    assert said(may_end.replaced_token("aa", NAME, "bb")) == {"secret": NAME, "version": "aa"}
    assert may_end.replaced_token("aa", NAME, "AA") is None


# --- the gate itself -------------------------------------------------------------------------------------------------


class Port:
    """Says what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def revoke(self, organization: str, pat: PatId) -> None:
        self.calls.append(("revoke", organization, pat))

    def extend(self, *given: object) -> Pat:
        self.calls.append(("extend", *given))
        return a_pat(CURRENT, ends=ENDS)

    def disable(self, name: str, version: str) -> None:
        self.calls.append(("disable", name, version))


def test_rule_7_the_gate_does_what_its_evidence_says_and_tells_of_an_end() -> None:
    port, told = Port(), list[object]()
    api: PatApi = port  # type: ignore[assignment]
    vault: Vault = port  # type: ignore[assignment]

    def tell(name: str, /, **given: object) -> None:
        told.append((name, given))

    gate.end(api, may_end.named_by_a_person(FORMER, OWNER, AT), tell)
    extended = gate.extend(
        api, may_end.extension_by_a_person(a_pat(CURRENT, display_name="x"), OWNER), ("vso.code",), ENDS
    )
    allowed = may_end.replaced_token("aa", NAME, "bb")
    assert allowed is not None
    gate.disable(vault, allowed)
    assert port.calls == [
        ("revoke", "contoso", FORMER),
        ("extend", "contoso", CURRENT, "x", ("vso.code",), ENDS),
        ("disable", NAME, "aa"),
    ]
    assert told == [("pat.revoked", {"secret": "", "authorization_id": FORMER})]
    assert extended == a_pat(CURRENT, ends=ENDS)


def test_rule_7_evidence_that_nobody_made_is_refused() -> None:
    with pytest.raises(TypeError, match="MayDisable is made by the rules"):
        MayDisable(None, NAME, "aa")
