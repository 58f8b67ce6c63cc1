"""`pats`: one technical user's PATs by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.pats import Pat
from sandbox.cloud.seed import AGENTS, ORGANIZATIONS, deployment
from shared.cli.remedies import named
from shared.model.secret_state import BY_HAND_CONTENT_TYPE
from shared.services.pat_token_errors import REMEDIES
from tests.lab.lab import START, Lab, days, hours, item, outcomes
from tests.lab.shell import Shell

AFTER_THE_END = datetime(2026, 12, 5, 12, tzinfo=UTC)
CREATE = ("pats", "create", "--user", AGENTS, "--name", "by hand", "--scopes", "vso.code")
INTO = (*CREATE, "--to-secret", "laptop-pat")
# Put together here, because a literal of this shape would set off secret scanners.
A_PAT = "x" * 76 + "AZDO" + "y" * 4


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    lab = Lab([item()])
    lab.sign_everybody_in()
    return Shell(lab, tmp_path)


def seed(shell: Shell, name: str, *, lasts: timedelta = days(30), organization: str = "contoso", **more: Any) -> Pat:
    now = shell.lab.manual.now()
    return shell.lab.cloud.pats.seed(AGENTS, organization, name, valid_from=now, valid_to=now + lasts, **more)


def made(shell: Shell, name: str = "by hand") -> Pat:
    return next(pat for pat in shell.lab.cloud.pats.all() if pat.display_name == name)


def in_one_line(text: str) -> str:
    return " ".join(text.split())


# --- list ------------------------------------------------------------------------------------------------------------


def names(document: Any) -> list[str]:
    return [pat["displayName"] for pat in document["patTokens"]]


def four(shell: Shell) -> None:
    """One revoked, one expired, two alive; named and made in another order than they end."""
    seed(shell, "d, ended by a person", revoked=True)
    seed(shell, "c, over", lasts=days(1))
    shell.lab.wait(days(2))
    seed(shell, "B, near its end", lasts=days(3))
    shell.lab.wait(hours(1))
    seed(shell, "a, fresh")


@pytest.mark.parametrize(
    ("state", "listed"),
    [
        ("active", {"B, near its end", "a, fresh"}),
        ("expired", {"c, over"}),
        ("revoked", {"d, ended by a person"}),
        ("all", {"B, near its end", "a, fresh", "c, over", "d, ended by a person"}),
    ],
)
def test_a_list_is_of_one_state_or_of_all(shell: Shell, state: str, listed: set[str]) -> None:
    four(shell)
    code, document = shell.json("pats", "list", "--user", AGENTS, "--state", state)
    assert (code, set(names(document))) == (0, listed)


@pytest.mark.parametrize(
    ("sort", "order"), [("name", "aBcd"), ("expires", "cBda"), ("created", "dcBa"), ("state", "Bacd")]
)
def test_a_list_is_sorted_as_asked_and_the_other_way_round(shell: Shell, sort: str, order: str) -> None:
    four(shell)
    ask = ("pats", "list", "--user", AGENTS, "--state", "all", "--sort", sort)
    sort_of = [name[0] for name in names(shell.json(*ask)[1])]
    # Both made at one instant: which of them comes first is left open.
    assert "".join(sort_of) in ({order, "cdBa"} if sort == "created" else {order})
    assert [name[0] for name in names(shell.json(*ask, "--reverse")[1])] == sort_of[::-1]


def test_a_list_is_all_its_pages(shell: Shell) -> None:
    shell.lab.cloud.switches.page_size_limit = 7
    for number in range(30):
        seed(shell, f"number {number}")
    assert len(shell.json("pats", "list", "--user", AGENTS)[1]["patTokens"]) == 30
    assert "30 PATs." in shell("pats", "list", "--user", AGENTS)[1]


def test_only_a_list_of_more_than_the_active_ones_has_a_column_for_the_state(shell: Shell) -> None:
    four(shell)
    _, out, _ = shell("pats", "list", "--user", AGENTS)
    assert "state" not in out.splitlines()[0]
    _, out, _ = shell("pats", "list", "--user", AGENTS, "--state", "all")
    head, *rows = out.splitlines()
    assert head.split()[-1] == "state"
    assert {row[head.index("name")]: row.split()[-1] for row in rows[:4]} == {
        "a": "active",
        "B": "active",
        "c": "expired",
        "d": "revoked",
    }


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_what_is_near_its_end_stands_out_on_a_terminal(shell: Shell, environ: dict[str, str], coloured: bool) -> None:
    shell.terminal = True
    four(shell)
    _, out, _ = shell("pats", "list", "--user", AGENTS, **environ)
    near, fresh = (next(line for line in out.splitlines() if name in line) for name in ("B, near", "a, fresh"))
    assert ("\x1b[33m" in near) is coloured
    assert "\x1b[33m" not in fresh


def test_a_list_never_shows_a_value(shell: Shell) -> None:
    pat = seed(shell, "by hand")
    for command in (("pats", "list"), ("pats", "get", pat.authorization_id)):
        for more in ((), ("--json",)):
            assert pat.value not in str(shell(*command, "--user", AGENTS, *more))


# --- create ----------------------------------------------------------------------------------------------------------


def test_a_pat_whose_value_has_no_place_is_not_made(shell: Shell) -> None:
    code, document = shell.json(*CREATE)
    assert (code, document["error"]["code"]) == (2, "settings-invalid")
    assert all(word in document["error"]["remedy"] for word in ("--to-secret", "--show-value"))
    assert shell.lab.cloud.calls() == []


def test_a_value_is_shown_or_stored_and_not_both(shell: Shell) -> None:
    assert shell(*INTO, "--show-value")[0] == 2
    assert shell.lab.cloud.calls() == []


def test_promise_7_a_value_goes_into_the_vault_unseen(shell: Shell) -> None:
    code, out, errors = shell(*INTO, "--lifetime", "10d")
    assert code == 0, errors
    pat, version = made(shell), shell.lab.current("laptop-pat")
    assert shell.lab.works("laptop-pat")
    assert version.value == pat.value
    assert version.value not in out + errors
    assert (version.expires, version.content_type) == (int(pat.valid_to.timestamp()), BY_HAND_CONTENT_TYPE)
    assert version.tags == {
        "authorization-id": pat.authorization_id,
        "organization": "contoso",
        "username": AGENTS,
    }
    assert "not in pats.yaml" in errors


def test_promise_1_a_value_is_proved_before_it_is_stored(shell: Shell) -> None:
    assert shell(*INTO)[0] == 0
    done = shell.lab.operations()
    assert done.index("pats.create") < done.index("devops.connection_data") < done.index("vault.set")


def test_promise_4_what_was_made_by_hand_is_nobody_s_to_rotate(shell: Shell) -> None:
    shell(*INTO)
    shell.lab.wait(days(25))
    code, document = shell.json("run")
    assert (code, document["unmanaged"]) == (0, [])
    assert shell.lab.works("laptop-pat")
    assert len(shell.lab.vault.secret("laptop-pat").versions) == 1


@pytest.mark.parametrize("by_id", [True, False])
def test_promise_4_what_was_made_by_hand_may_be_adopted(shell: Shell, by_id: bool) -> None:
    shell(*INTO)
    former = made(shell)
    adopted = item("laptop-pat", adopt=former.authorization_id if by_id else True)
    shell.lab.items.append(adopted)
    report = shell.lab.run()
    assert "laptop-pat rotate done adopted" in outcomes(report.items)
    shell.lab.later(days(2))
    assert shell.lab.works("laptop-pat")
    assert former.revoked == by_id, "after the overlap, and only where pats.yaml names it"


def test_the_answer_names_the_secret_and_has_no_value(shell: Shell) -> None:
    code, document = shell.json(*INTO)
    assert (code, document["secret"], document["displayName"]) == (0, "laptop-pat", "by hand")
    assert "token" not in document


def marked(shell: Shell, by: str) -> None:
    tags = {"managed-by": by, "authorization-id": "a0000000-0000-4000-8000-000000000099"}
    shell.lab.vault.seed("Laptop-PAT", "theirs", tags=tags)


@pytest.mark.parametrize(
    ("prepare", "secret", "says"),
    [
        (lambda shell: None, "BUILD-pat", "is an item of pats.yaml"),
        (lambda shell: shell.lab.items.append(item("odd-pat", scopes=["nonsense"])), "odd-pat", "is an item"),
        (lambda shell: None, "svc-agents-password", "holds a credential"),
        (lambda shell: None, "patrol-client-secret", "holds a credential"),
        (lambda shell: shell.lab.vault.seed("laptop-pat", "theirs"), "laptop-pat", "exists already"),
        (lambda shell: marked(shell, "patrol/other-123456"), "laptop-pat", "patrol/other-123456"),
        (lambda shell: marked(shell, deployment()), "laptop-pat", deployment()),
        (
            lambda shell: (
                shell.lab.vault.seed("laptop-pat", "x"),
                shell.lab.vault.delete("laptop-pat"),
                shell.lab.vault.settle(),
            ),
            "laptop-pat",
            "soft-deleted",
        ),
    ],
    ids=["an item", "an invalid item", "a password", "the client secret", "exists", "foreign", "ours", "deleted"],
)
def test_promise_4_a_value_by_hand_is_never_written_over_another(
    shell: Shell, prepare: Any, secret: str, says: str
) -> None:
    prepare(shell)
    code, _, errors = shell(*CREATE, "--to-secret", secret)
    assert code == 2
    assert says in errors
    assert "Name another secret" in errors
    assert shell.lab.cloud.pats.all() == []
    assert "vault.set" not in shell.lab.operations()
    assert "entra.token" not in shell.lab.operations()


def test_promise_4_a_secret_that_appears_meanwhile_is_not_written_over(shell: Shell) -> None:
    def appear(met: Operation) -> None:
        if met.name == "devops.connection_data":
            shell.lab.vault.seed("laptop-pat", "theirs")

    shell.lab.cloud.before_effect = appear
    code, _, errors = shell(*INTO)
    assert code == 1
    assert shell.lab.current("laptop-pat").value == "theirs"
    assert made(shell).revoked
    assert "was ended" in errors


def test_a_refused_write_ends_the_fresh_pat_at_once(shell: Shell) -> None:
    shell.lab.vault.denied.add("set")
    code, document = shell.json(*INTO)
    assert (code, document["error"]["code"]) == (1, "publish-forbidden")
    assert "Key Vault Secrets Officer" in document["error"]["remedy"]
    assert made(shell).revoked
    assert f"{made(shell).authorization_id} was ended" in document["error"]["message"]


def test_a_pat_that_does_not_work_is_ended_and_not_stored(shell: Shell) -> None:
    shell.lab.cloud.add_fault("devops.connection_data", "redirect", call=None)
    code, document = shell.json(*INTO)
    assert (code, document["error"]["code"]) == (1, "verify-failed")
    assert "--verify" in document["error"]["remedy"]
    assert made(shell).revoked
    assert "vault.set" not in shell.lab.operations()


def test_scopes_that_cannot_read_connection_data_are_proved_by_another_path(shell: Shell) -> None:
    shell.lab.cloud.add_fault("devops.connection_data", "sign_in_page", call=None)
    assert shell(*INTO, "--verify", "_apis/git/repositories")[0] == 0
    assert shell.lab.works("laptop-pat")


def test_a_refused_write_whose_pat_cannot_be_ended_says_how_to_end_it(shell: Shell) -> None:
    shell.lab.vault.denied.add("set")
    shell.lab.cloud.add_fault("pats.revoke", "pat_error", call=None, error="accessDenied")
    code, document = shell.json(*INTO)
    identity = made(shell).authorization_id
    assert (code, made(shell).revoked) == (1, False)
    end = f"`patrol pats revoke {identity} --user {AGENTS} --organization contoso`"
    assert end in document["error"]["remedy"]


def test_a_write_whose_answer_was_lost_is_looked_for(shell: Shell) -> None:
    shell.lab.cloud.add_fault("vault.set", "cut_after_effect")
    assert shell(*INTO)[0] == 0
    assert shell.lab.works("laptop-pat")
    assert len(shell.lab.cloud.calls("vault.set")) == 1


def test_a_write_in_doubt_ends_no_pat_and_says_where_to_look(shell: Shell) -> None:
    shell.lab.cloud.add_fault("vault.set", "cut_before_effect")
    code, document = shell.json(*INTO)
    assert (code, document["error"]["code"]) == (1, "publish-unclear")
    assert not made(shell).revoked
    assert made(shell).authorization_id in document["error"]["message"]
    assert "authorization-id of laptop-pat" in document["error"]["remedy"]
    assert "pats revoke" in document["error"]["remedy"]


@pytest.mark.parametrize("where", [("--show-value",), ("--to-secret", "laptop-pat")], ids=" ".join)
def test_a_pat_that_may_have_been_made_says_how_to_find_it(shell: Shell, where: tuple[str, ...]) -> None:
    shell.lab.cloud.add_fault("pats.create", "cut_after_effect", call=None)
    code, document = shell.json(*CREATE, *where)
    assert (code, document["error"]["code"]) == (1, "mint-unclear")
    assert f"pats list --user {AGENTS} --organization contoso" in document["error"]["remedy"]
    assert "the next run" not in document["error"]["remedy"]
    assert "vault.set" not in shell.lab.operations()


def test_a_proof_is_only_for_what_is_stored(shell: Shell) -> None:
    code, _, errors = shell(*CREATE, "--show-value", "--verify", "_apis/git/repositories")
    assert (code, "Leave --verify out" in errors) == (2, True)
    assert shell.lab.cloud.calls() == []


@pytest.mark.parametrize(
    ("name", "says"),
    [("a name", "letters, digits and hyphens"), (A_PAT, "looks like a PAT"), ("patrol-blocked-x", "patrol's own")],
    ids=["blank", "a PAT", "reserved"],
)
def test_a_bad_name_of_a_secret_is_told_and_a_value_not_repeated(shell: Shell, name: str, says: str) -> None:
    code, _, told = shell(*CREATE, "--to-secret", name)
    assert code == 2
    assert "--to-secret: " in told
    assert says in told
    assert A_PAT not in told


@pytest.mark.parametrize("organization", ["https://dev.azure.com/contoso", "*", "all"])
def test_a_bad_organization_is_told_before_anything_is_reached(shell: Shell, organization: str) -> None:
    code, _, told = shell("pats", "list", "--user", AGENTS, "--organization", organization)
    assert code == 2
    assert "argument --organization: " in told


def test_rule_12_a_pat_by_hand_is_not_made_for_a_blocked_user(shell: Shell) -> None:
    shell.lab.cloud.directory.user(AGENTS).state = UserState.MFA_REQUIRED
    assert shell(*INTO)[0] == 3
    assert shell(*INTO)[0] == 3
    assert shell.lab.cloud.directory.user(AGENTS).token_requests == 2, "one before, and one that was refused"
    assert shell.lab.cloud.pats.all() == []


# --- global PATs -----------------------------------------------------------------------------------------------------


def two_organizations(shell: Shell) -> Pat:
    shell.lab.cloud.pats.add_organization("fabrikam", ORGANIZATIONS["fabrikam"], {AGENTS})
    shell.lab.items.append(item("other-pat", organization="fabrikam"))
    return seed(shell, "everywhere", all_orgs=True, scope="vso.code vso.work")


LIST = ("pats", "list", "--user", AGENTS, "--organization", "contoso")


@pytest.mark.parametrize(
    "command", [LIST, (*LIST, "--state", "all"), ("check", "--online")], ids=["list", "all", "check"]
)
@pytest.mark.parametrize(
    ("start", "says"),
    [(START, "it stops working on 2026-12-01"), (AFTER_THE_END, "those stopped working on 2026-12-01")],
    ids=["before", "after"],
)
def test_a_global_pat_is_pointed_out_with_what_replaces_it(
    tmp_path: Path, command: tuple[str, ...], start: datetime, says: str
) -> None:
    shell = Shell(Lab([item()], start=start), tmp_path)
    pat = two_organizations(shell)
    code, out, _ = shell(*command)
    told = in_one_line(out)
    assert code == 0
    assert says in told
    assert "`- {secret: everywhere-contoso, organization: contoso, scopes: [vso.code, vso.work]}`" in told
    assert f"pats revoke {pat.authorization_id}" in told
    assert "FAILED" not in out


def test_each_organization_that_lists_a_global_pat_gets_a_pat_of_its_own(shell: Shell) -> None:
    pat = two_organizations(shell)
    twin = seed(shell, "everywhere", organization="fabrikam", all_orgs=True, scope="app_token")
    # The real service may show one PAT in several listings: the sandbox shows it where it was made.
    shell.lab.cloud.pats._owned[(AGENTS, ORGANIZATIONS["fabrikam"])].append(pat)
    told = ""
    for command in (LIST, ("check", "--online")):
        told = in_one_line(shell(*command)[1])
        assert "listed in contoso, fabrikam" in told
        assert "{secret: everywhere-fabrikam, organization: fabrikam" in told
    assert f"({twin.authorization_id})" in told
    assert "scopes: [app_token], allow_full_access: true" in told


def test_check_online_gives_a_global_pat_to_programs_as_well(shell: Shell) -> None:
    two_organizations(shell)
    code, document = shell.json("check", "--online")
    [one] = [finding for finding in document["online"] if finding["says"]]
    assert (code, one["well"]) == (0, True)
    assert "global" in one["what"]


@pytest.mark.parametrize("command", [LIST, ("check", "--online")], ids=["list", "check"])
def test_nothing_is_said_of_global_pats_where_there_is_none(shell: Shell, command: tuple[str, ...]) -> None:
    seed(shell, "ordinary")
    seed(shell, "gone", all_orgs=True, revoked=True)
    assert "global" not in shell(*command)[1]
    assert "global" not in shell(*LIST, "--state", "all")[1]


def test_a_list_of_a_global_pat_survives_an_organization_that_cannot_be_listed(shell: Shell) -> None:
    two_organizations(shell)
    shell.lab.cloud.pats.organization("fabrikam").members.clear()
    code, out, _ = shell(*LIST)
    assert (code, "listed in contoso)" in in_one_line(out)) == (0, True)


def test_a_global_pat_is_not_renewed_into_one_of_one_organization(shell: Shell) -> None:
    pat = seed(shell, "everywhere", all_orgs=True)
    code, _, errors = shell("pats", "renew", pat.authorization_id, "--user", AGENTS)
    assert (code, "global" in errors) == (2, True)
    assert shell.lab.cloud.calls("pats.update") == []


# --- renew, revoke, and what is told ---------------------------------------------------------------------------------


def test_a_display_name_cannot_steer_the_terminal(shell: Shell) -> None:
    shell.lab.cloud.pats.seed(
        AGENTS, "contoso", "\x1b[2Jevil\nname", "vso.code", valid_from=START, valid_to=START + days(9)
    )
    code, out, _ = shell("pats", "list", "--user", AGENTS)
    assert code == 0
    assert "?[2Jevil?name" in out
    assert shell.json("pats", "list", "--user", AGENTS)[1]["patTokens"][0]["displayName"] == "\x1b[2Jevil\nname"


def test_pats_by_hand(shell: Shell) -> None:
    code, shown = shell.json(*CREATE, "--show-value")
    assert code == 0
    assert shell.lab.cloud.pats.authenticate("contoso", shown["token"]) is not None
    identity = shown["authorizationId"]
    code, listed = shell.json("pats", "list", "--user", AGENTS)
    assert names(listed) == ["by hand"]
    assert not any("token" in pat for pat in listed["patTokens"])
    assert shell.json("pats", "get", identity, "--user", AGENTS)[1]["displayName"] == "by hand"
    shell.lab.wait(days(10))
    code, renewed = shell.json("pats", "renew", identity, "--user", AGENTS, "--lifetime", "40d")
    assert renewed["validTo"] == "2026-04-20T12:00:00Z"
    assert shell("pats", "revoke", identity, "--user", AGENTS)[0] == 2
    assert shell("pats", "revoke", identity, "--user", AGENTS, "--yes")[0] == 0
    assert names(shell.json("pats", "list", "--user", AGENTS, "--state", "revoked")[1]) == ["by hand"]


@pytest.mark.parametrize(("typed", "code", "left"), [("n\n", 1, 1), ("\n", 1, 1), ("", 1, 1), ("y\n", 0, 0)])
def test_revoking_by_hand_asks_first(shell: Shell, typed: str, code: int, left: int) -> None:
    ask = ("pats", "create", "--user", AGENTS, "--name", "by hand", "--scopes", "vso.code, vso.work", "--show-value")
    _, shown = shell.json(*ask)
    assert shown["scope"] == "vso.code vso.work"
    shell.answers = typed
    ended, _, errors = shell("pats", "revoke", shown["authorizationId"], "--user", AGENTS)
    assert "Revoke" in errors
    assert (ended, len(shell.lab.cloud.live_pats())) == (code, left)


def test_pats_of_a_stranger_or_of_an_unclear_organization_are_refused(shell: Shell) -> None:
    code, _, errors = shell("pats", "list", "--user", "nobody@contoso.com")
    assert (code, f"Known: {AGENTS}" in errors) == (2, True)
    shell.lab.items = [item(), item("other-pat", organization="fabrikam")]
    code, _, errors = shell("pats", "list", "--user", AGENTS)
    assert (code, "--organization" in errors) == (2, True)
    assert shell("pats", "list", "--user", AGENTS, "--organization", "contoso")[0] == 0


def test_a_pat_that_is_not_there_is_told_in_words(shell: Shell) -> None:
    code, document = shell.json("pats", "get", "00000000-0000-4000-8000-000000000000", "--user", AGENTS)
    assert (code, document["error"]["code"]) == (1, "pat-unknown")


def test_rule_12_signing_in_by_hand_remembers_a_refusal_for_the_runs(shell: Shell) -> None:
    shell.lab.cloud.directory.set_password(AGENTS, "changed")
    assert shell.json("pats", "list", "--user", AGENTS)[1]["error"]["code"] == "sign-in-refused"
    assert shell("run")[0] == 3
    assert shell.lab.cloud.directory.user(AGENTS).token_requests == 2


def test_a_mark_cannot_be_made_by_hand(shell: Shell) -> None:
    assert shell("pats", "create", "--user", AGENTS, "--name", "patrol/x/y", "--scopes", "vso.code")[0] == 2


# --- remedies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "flag"),
    [
        (("list", "--organization", "nowhere"), "Correct --organization"),
        (("create", "--name", "x", "--scopes", "vso.nonsense", "--show-value"), "Correct --scopes"),
    ],
    ids=["organization", "scopes"],
)
def test_promise_8_what_came_from_a_flag_is_corrected_there(shell: Shell, action: tuple[str, ...], flag: str) -> None:
    code, document = shell.json("pats", *action, "--user", AGENTS)
    assert code == 1
    assert flag in document["error"]["remedy"]
    assert "pats.yaml" not in document["error"]["remedy"]


def test_what_came_from_pats_yaml_is_corrected_there(shell: Shell) -> None:
    shell.lab.items = [item(organization="nowhere")]
    assert "`organization` in pats.yaml" in shell.json("pats", "list", "--user", AGENTS)[1]["error"]["remedy"]


def test_an_unknown_user_is_told_with_the_nearest_one(shell: Shell) -> None:
    code, document = shell.json("pats", "list", "--user", "svc-agent@contoso.com")
    assert (code, document["error"]["remedy"].startswith(f"Did you mean {AGENTS}? ")) == (2, True)
    assert f"Did you mean {AGENTS}? " in shell.json("unblock", "svc-agent@contoso.com")[1]["error"]["remedy"]


@pytest.mark.parametrize("refusal", sorted(set(REMEDIES.values())))
def test_promise_8_no_remedy_for_a_pat_by_hand_points_to_an_item(refusal: str) -> None:
    given = {"organization": "--organization", "lifetime": "--lifetime", "scopes": "--scopes"}
    assert "in pats.yaml" not in named(refusal, given)
    assert named(refusal, {}) == refusal
