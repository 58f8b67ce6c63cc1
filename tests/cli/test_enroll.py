"""`enroll`: a person signs in once as a technical user without a password (rule 16), over the loopback interface."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.key_vault import Version
from sandbox.cloud.seed import AGENTS, CLIENT, CREDENTIALS_VAULT, PERSON
from shared.model.items import User
from tests.lab.at_browser import Person
from tests.lab.lab import Lab, days, hours, item
from tests.lab.shell import Shell

NAME = User(AGENTS, "", enrolled=True).credential_name
ENROLLED: list[dict[str, Any]] = [{"username": AGENTS, "enrolled": True, "pats": [item()]}]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    lab = Lab(users=ENROLLED)
    lab.cloud.directory.app(CLIENT).redirect_uris = {"http://localhost"}
    lab.cloud.directory.add_user(PERSON, "sandbox-password-alice")
    return Shell(lab, tmp_path)


def signing_in(shell: Shell, upn: str = AGENTS, **how: Any) -> Person:
    person = Person(shell.lab, upn, **how)
    shell.hears = person.hears
    return person


def kept(shell: Shell) -> list[Version]:
    vault = shell.lab.cloud.vaults[CREDENTIALS_VAULT]
    try:
        return sorted(vault.secret(NAME).versions.values(), key=lambda version: version.created)
    except KeyError:
        return []


def refused(shell: Shell, person: Person, *arguments: str) -> str:
    code, _, errors = shell("enroll", *(arguments or (AGENTS,)))
    for thread in person.threads:
        thread.join(10)
    assert code in (1, 2, 3)
    return " ".join(errors.split())


def test_rule_16_a_person_enrolls_a_user_and_the_next_run_needs_nobody(shell: Shell) -> None:
    shell.lab.cloud.directory.user(AGENTS).state = UserState.MFA_REQUIRED
    assert shell("run")[0] == 3
    person = signing_in(shell)
    code, out, errors = shell("enroll", AGENTS)
    assert code == 0
    assert f"{AGENTS} is enrolled" in out
    assert "Good until 2026-05-30T12:00:00Z" in out
    person.threads[0].join(10)
    assert person.status == 200
    assert "Enrolled" in person.page
    (version,) = kept(shell)
    assert version.content_type == "application/vnd.patrol.refresh-token"
    assert version.tags["username"] == AGENTS
    assert version.tags["object-id"] == shell.lab.cloud.directory.user(AGENTS).object_id
    assert version.value not in out + errors + person.page
    assert shell("run")[0] == 0
    assert shell.lab.works("build-pat")


def test_rule_16_the_page_asks_for_a_sign_in_with_pkce_and_brings_its_answer_by_a_form(shell: Shell) -> None:
    person = signing_in(shell)
    shell("enroll", AGENTS)
    (url,) = [line for line in person.lines if line.startswith("https://login.")]
    asked = requests.Request("GET", url).prepare().url or ""
    for part in ("prompt=login", "response_mode=form_post", "code_challenge_method=S256", "state=", "nonce="):
        assert part in asked
    assert "login_hint=svc-agents%40contoso.com" in asked
    assert "redirect_uri=http%3A%2F%2Flocalhost%3A" in asked


def test_rule_16_the_wrong_person_is_told_and_nothing_is_kept(shell: Shell) -> None:
    person = signing_in(shell, PERSON)
    errors = refused(shell, person)
    assert f"{PERSON} signed in, and not {AGENTS}" in errors
    assert "private window" in errors
    assert person.status == 400
    assert "Not enrolled" in person.page
    assert kept(shell) == []


def test_rule_16_a_guest_is_told_and_nothing_is_kept(shell: Shell) -> None:
    shell.lab.cloud.directory.user(AGENTS).state = UserState.GUEST
    assert "is a guest here" in refused(shell, signing_in(shell))
    assert kept(shell) == []


def test_rule_16_whoever_declines_is_told_and_nothing_is_kept(shell: Shell) -> None:
    errors = refused(shell, signing_in(shell, declines=True))
    assert "declined what the app asks for (AADSTS65004)" in errors
    assert kept(shell) == []


def test_rule_16_missing_permissions_are_told_before_anything_is_kept(shell: Shell) -> None:
    shell.lab.cloud.directory.app(CLIENT).consented = {"vso.pats"}
    errors = refused(shell, signing_in(shell))
    assert "lacks a permission of Azure DevOps: vso.pats_manage" in errors
    assert kept(shell) == []


def test_rule_16_a_user_whom_the_organization_does_not_know_is_told_before_anything_is_kept(shell: Shell) -> None:
    shell.lab.cloud.pats.organization("contoso").members.clear()
    assert "cannot list its PATs in contoso" in refused(shell, signing_in(shell))
    assert kept(shell) == []


def test_rule_16_a_public_client_is_told_and_nothing_is_kept(shell: Shell) -> None:
    shell.lab.cloud.directory.app(CLIENT).public = True
    errors = refused(shell, signing_in(shell))
    assert "AADSTS700025" in errors
    assert "Make it a confidential (web) client" in errors
    assert kept(shell) == []


def test_rule_16_from_the_second_time_on_it_is_the_same_account(shell: Shell) -> None:
    signing_in(shell)
    assert shell("enroll", AGENTS)[0] == 0
    first = shell.lab.cloud.directory.user(AGENTS)
    again = shell.lab.cloud.directory.add_user(AGENTS, "sandbox-password-agents")
    assert again.object_id != first.object_id
    shell.lab.wait(hours(1))
    errors = refused(shell, signing_in(shell))
    assert first.object_id in errors
    assert "take the tag `object-id` off" in errors
    assert len(kept(shell)) == 1


@pytest.mark.parametrize(
    ("upn", "says"),
    [
        ("svc-agent@contoso.com", "Did you mean svc-agents@contoso.com?"),
        ("22222222-3333-4444-5555-666666666666", "what needs no user goes under service_principals"),
        ("x_fabrikam.com#EXT#@contoso.com", "is a guest"),
    ],
)
def test_rule_16_a_name_that_is_none_is_told_before_a_page_is_opened(shell: Shell, upn: str, says: str) -> None:
    person = signing_in(shell)
    assert says in refused(shell, person, upn)
    assert person.threads == []
    assert shell.lab.cloud.calls("entra.token") == []


def test_rule_16_a_user_with_a_password_is_not_enrolled(shell: Shell) -> None:
    shell.lab.users = []
    shell.lab.items = [item()]
    errors = refused(shell, signing_in(shell))
    assert "signs in with a password (svc-agents-password)" in errors


def test_rule_16_where_only_the_deployed_app_can_redeem_it_says_so(shell: Shell) -> None:
    shell.lab.sign_in = {}
    errors = refused(shell, signing_in(shell))
    assert "POST /api/enroll" in errors


def test_rule_16_nobody_who_signs_in_within_ten_minutes_leaves_nothing_behind(shell: Shell) -> None:
    def waits(line: str) -> None:
        if line.startswith("https://login."):
            shell.lab.wait(timedelta(minutes=11))

    shell.hears = waits
    code, _, errors = shell("enroll", AGENTS)
    assert code == 2
    assert "within ten minutes" in errors
    assert kept(shell) == []


def test_rule_16_what_another_page_sends_to_the_listener_is_no_answer(shell: Shell) -> None:
    seen: list[int] = []
    person = Person(shell.lab, AGENTS)

    class Intruder(Person):
        def comes_back_to_loopback(self, url: str) -> None:
            target, fields = self.fills_in(url)
            browser = requests.Session()
            browser.trust_env = False
            forged = {**fields, "state": "forged"}
            seen.append(browser.get(f"{target}/", timeout=10).status_code)
            seen.append(browser.post(target, data=forged, timeout=10).status_code)
            seen.append(browser.post(target, data="x" * 70_000, timeout=10).status_code)
            self.page = browser.post(target, data=fields, timeout=10).text

    person = Intruder(shell.lab, AGENTS)
    shell.hears = person.hears
    assert shell("enroll", AGENTS)[0] == 0
    assert seen == [404, 400, 400]


def test_rule_16_status_says_until_when_each_enrolled_user_is_good(shell: Shell) -> None:
    code, out, _ = shell("enroll", "--status")
    assert code == 3
    assert f"{AGENTS}, nobody has enrolled it yet" in out
    assert f"`patrol enroll {AGENTS}`" in out
    shell.lab.enroll()
    assert shell("enroll", "--status")[0] == 0
    code, document = shell.json("enroll", "--status", AGENTS)
    assert (code, document) == (
        0,
        {
            "enrollments": [
                {
                    "username": AGENTS,
                    "state": "good",
                    "enrolled_at": "2026-03-01T12:00:00Z",
                    "good_until": "2026-05-30T12:00:00Z",
                }
            ]
        },
    )
    shell.lab.wait(days(80))
    assert f"{AGENTS}, ends 2026-05-30 12:00 UTC (in 10 days)" in shell("enroll", "--status")[1]
    shell.lab.wait(days(11))
    code, out, _ = shell("enroll", "--status")
    assert (code, f"{AGENTS}, ended 2026-05-30 12:00 UTC (24 h ago)" in out) == (3, True), out
    [row] = shell.json("status")[1]["pats"]
    assert (row["state"], row["last_failure"]["code"]) == ("blocked", "enrollment-ended")
    assert f"`patrol enroll {AGENTS}`" in shell("status", "build-pat")[1]
    assert shell("enroll", "--status", "svc-agent@contoso.com")[0] == 2


def test_rule_16_status_counts_a_user_to_be_enrolled_as_blocked(shell: Shell) -> None:
    code, document = shell.json("status")
    assert code == 3
    assert [pat["state"] for pat in document["pats"]] == ["blocked"]
    assert document["enrollments"][0]["state"] == "needed"
    shell.lab.enroll()
    assert shell("run")[0] == 0
    code, out, _ = shell("status")
    assert code == 0
    assert f"Enrolled: {AGENTS}, good until 2026-05-30 12:00 UTC (in 90 days)" in out


def test_promise_5_a_credentials_vault_that_is_closed_hides_no_item(shell: Shell) -> None:
    shell.lab.enroll()
    assert shell("run")[0] == 0
    shell.lab.cloud.vaults[CREDENTIALS_VAULT].denied.add("versions")
    code, out, errors = shell("status")
    assert code == 0
    assert "healthy" in out
    assert "Until when enrolled users are good is not shown" in errors
