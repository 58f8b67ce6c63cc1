"""What somebody in between says in a service's place: doubt for a write, no answer for a read.

Every status and form that stand for the kind (`foreign_answers`), through the real adapters.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.foreign_answers import FORMS, STATUSES
from sandbox.cloud.seed import AGENTS, CLIENT
from sandbox.process.in_process import session_for
from shared.model.clock import Deadline
from shared.model.consumers import ServiceConnection, SonarQube, Webhook
from shared.model.credentials import ClientSecret, SignIn
from shared.model.errors import Absent, Busy, Code, Denied, Misconfigured, NotDone, PatrolError, Refused, Unclear
from shared.model.items import User
from shared.model.pats import Claim, PatId
from shared.model.ports import PatApi
from shared.model.secret_text import SecretText
from shared.rotation.world import World
from shared.services.key_vault import SecretVault
from tests.lab.consumers import CONNECTION, HOME, connection, given, restarted
from tests.lab.lab import Lab, LabIdentity, days, hours, item, row

SIGN_IN = SignIn("contoso.onmicrosoft.com", CLIENT, ClientSecret("patrol-client-secret"))
AT = ServiceConnection(HOME, "web", CONNECTION)
HOOK = Webhook("restart-url", "restart-key")
TO = SonarQube("https://sonarqube.contoso.com", "contoso-azure", "sonarqube-token")
# One gateway's words that look like Key Vault's, and the plain forms.
FOREIGN = [*((status, form, "") for status in STATUSES for form in FORMS)]
FOREIGN += [(401, "gateway", "Unauthorized"), (403, "gateway", "Forbidden"), (409, "gateway", "Conflict")]


def api_of(lab: Lab, world: World) -> PatApi:
    proof = world.proofs.of(SIGN_IN.credential, world.clock.now())
    password = world.credentials.read("svc-agents-password").value
    return world.directory.sign_in(SIGN_IN, User(AGENTS, "svc-agents-password"), password, proof)


class Called:
    """The ports of one lab, each call by the operation of the sandbox that it is."""

    def __init__(self) -> None:
        self.lab = Lab([item()])
        self.lab.sonarqube()
        self.world = self.lab.world(timedelta(days=300))
        self.api = api_of(self.lab, self.world)
        now = self.lab.clock.now()
        self.made = self.lab.cloud.pats.seed(AGENTS, "contoso", "x", valid_from=now)
        self.lab.vault.seed("build-pat", "a-value-of-today")
        self.version = self.world.vault.current("build-pat").version
        connection(self.lab)
        restarted(self.lab)
        self.hook = tuple(self.world.credentials.read(name).value for name in HOOK.secret_names)
        self.token = self.world.credentials.read("sonarqube-token").value
        self.calls: dict[str, Callable[[], object]] = {
            "vault.set": lambda: self.world.vault.publish("build-pat", SecretText("y"), now + days(1), {}),
            "vault.update": lambda: self.world.vault.change("build-pat", self.version, tags={"a": "b"}),
            "vault.recover": lambda: self.world.vault.recover("gone"),
            "pats.create": lambda: self.api.mint("contoso", "x", ("vso.code",), self.lab.clock.now() + days(9)),
            "pats.update": lambda: self.api.extend(
                "contoso", PatId(self.made.authorization_id), "x", ("vso.code",), self.lab.clock.now() + days(9)
            ),
            "pats.revoke": lambda: self.api.revoke("contoso", PatId(self.made.authorization_id)),
            "sonarqube.update_azure": lambda: self.world.consumers.push(TO, (self.token,), given(self.made.value)),
            "connections.update": lambda: self.world.consumers.push(AT, (), given(self.made.value)),
            "connections.get": lambda: self.world.consumers.check(AT, (), "contoso"),
            "notice.webhook": lambda: self.world.consumers.push(HOOK, self.hook, given(self.made.value)),
            "vault.get": lambda: self.world.vault.current("build-pat"),
            "vault.versions": lambda: self.world.vault.versions("build-pat"),
            "vault.deleted": lambda: self.world.vault.is_deleted("build-pat"),
            "pats.list": lambda: self.api.active("contoso"),
            "pats.get": lambda: self.api.get("contoso", PatId(self.made.authorization_id)),
            "devops.connection_data": lambda: self.world.verifier.verify(
                Claim(AGENTS, "contoso"), SecretText(self.made.value)
            ),
        }

    def failure(self, operation: str) -> PatrolError:
        with pytest.raises(PatrolError) as caught:
            self.calls[operation]()
        return caught.value


WRITES = (
    *("vault.set", "vault.update", "vault.recover", "pats.create", "pats.update", "pats.revoke"),
    *("sonarqube.update_azure", "connections.update"),
)
READS = (
    "connections.get",
    "vault.get",
    "vault.versions",
    "vault.deleted",
    "pats.list",
    "pats.get",
    "devops.connection_data",
)


@pytest.fixture(scope="module")
def called() -> Called:
    return Called()


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("operation", WRITES)
def test_rule_2_no_status_in_foreign_words_is_a_refusal_of_a_write(called: Called, operation: str, after: bool) -> None:
    for status, form, error in FOREIGN:
        called.lab.cloud.faults.clear()
        if operation == "vault.recover":
            called.lab.vault.settle()
            called.lab.vault.seed("gone", "x")
            called.lab.vault.delete("gone")
            called.lab.vault.settle()
        if operation.startswith("pats."):
            called.made = called.lab.cloud.pats.seed(AGENTS, "contoso", "x", valid_from=called.lab.clock.now())
        called.lab.cloud.add_fault(
            operation, "foreign", call=None, status=status, form=form, error=error, after_effect=after
        )
        failure = called.failure(operation)
        assert type(failure) is Unclear, (status, form, failure)
        assert str(status) in failure.cause
        assert "No PAT was made" not in failure.cause
        assert "role" not in failure.remedy
    called.lab.cloud.faults.clear()


@pytest.mark.parametrize("operation", READS)
def test_rule_5_no_status_in_foreign_words_says_that_something_is_absent_or_denied(
    called: Called, operation: str
) -> None:
    called.lab.cloud.faults.clear()
    for status, form, error in FOREIGN:
        called.lab.cloud.add_fault(operation, "foreign", call=None, status=status, form=form, error=error)
        failure = called.failure(operation)
        assert type(failure) is Unclear, (status, form, failure)
        called.lab.cloud.faults.clear()


def test_rule_5_a_listing_in_foreign_words_ends_the_run_and_blames_no_role(called: Called) -> None:
    for status, form, error in FOREIGN:
        called.lab.cloud.faults.clear()
        called.lab.cloud.add_fault("vault.list", "foreign", call=None, status=status, form=form, error=error)
        with pytest.raises(Misconfigured) as caught:
            called.world.vault.listing()
        assert caught.value.code is Code.VAULT_UNREACHABLE
        assert "role" not in caught.value.remedy
    called.lab.cloud.faults.clear()


@pytest.mark.parametrize("status", [403, 401, 409, 429, 500])
def test_promise_1_a_published_value_outlives_a_proxy_that_blocks_its_echo(status: int) -> None:
    """The PUT's answer echoes the secret, which is just what data loss prevention blocks, run by run."""
    lab = Lab([item("a-pat"), item("build-pat")])
    lab.run()
    lab.wait(days(24))
    lab.cloud.add_fault("vault.set", "foreign", call=None, status=status, form="gateway", after_effect=True)
    for _ in range(6):
        lab.run()
        assert lab.works("a-pat")
        assert lab.works("build-pat")
        lab.wait(hours(6))
    lab.cloud.faults.clear()
    lab.run()
    assert len(lab.live()) == 2


def due() -> Lab:
    lab = Lab([item()], quick=True)
    lab.run()
    lab.wait(days(24))
    lab.quick = False
    return lab


@pytest.mark.parametrize("form", FORMS)
def test_rule_2_a_mint_in_doubt_is_never_called_none(form: str) -> None:
    lab = due()
    lab.cloud.add_fault("pats.create", "foreign", call=None, status=400, form=form, after_effect=True)
    failure = row(lab.run()).error
    assert failure is not None
    assert failure.code is Code.MINT_UNCLEAR
    assert len(lab.cloud.calls("pats.create")) == 1, "never sent again"
    lab.cloud.faults.clear()
    lab.wait(hours(3))
    lab.run()
    lab.wait(hours(30))
    lab.run()
    assert len(lab.live()) == 1, "the one in doubt was ended"


# --- refusals in Key Vault's own words, each with its own remedy ------------------------------------------------------


def refused(called: Called, operation: str, status: int, code: str, inner: str = "") -> Any:
    called.lab.cloud.faults.clear()
    innererror = f',"innererror":{{"code":"{inner}"}}' if inner else ""
    body = f'{{"error":{{"code":"{code}","message":"x"{innererror}}}}}'
    called.lab.cloud.add_fault(operation, "status", call=None, status=status, body=body)
    failure = called.failure(operation)
    called.lab.cloud.faults.clear()
    return failure


@pytest.mark.parametrize("operation", ["vault.get", "vault.update", "vault.versions"])
@pytest.mark.parametrize(
    ("inner", "kind", "code", "says"),
    [
        ("ForbiddenByRbac", Denied, Code.VAULT_FORBIDDEN, "role"),
        ("AccessDenied", Denied, Code.VAULT_FORBIDDEN, "role"),
        ("ForbiddenByFirewall", Denied, Code.VAULT_FORBIDDEN, "network"),
        ("ForbiddenByConnection", Denied, Code.VAULT_FORBIDDEN, "network"),
        ("ForbiddenByPolicy", Refused, Code.VAULT_REFUSED, "Policy"),
        ("SecretDisabled", Denied, Code.DISABLED, "Enable"),
    ],
)
def test_promise_8_a_403_is_told_by_its_inner_code(
    called: Called, operation: str, inner: str, kind: type[Any], code: Code, says: str
) -> None:
    failure = refused(called, operation, 403, "Forbidden", inner)
    assert type(failure) is kind
    assert (failure.code, failure.word) == (code, inner)
    assert inner in failure.cause
    assert says in failure.remedy
    assert ("the role Key Vault" in failure.remedy) == (says == "role")


@pytest.mark.parametrize(
    ("inner", "kind", "code"),
    [
        ("ForbiddenByRbac", Denied, Code.PUBLISH_FORBIDDEN),
        ("ForbiddenByFirewall", Denied, Code.PUBLISH_FORBIDDEN),
        ("ForbiddenByPolicy", Refused, Code.PUBLISH_REFUSED),
    ],
)
def test_rule_11_what_refuses_one_secret_is_not_a_lack_of_rights_on_the_vault(
    called: Called, inner: str, kind: type[Any], code: Code
) -> None:
    failure = refused(called, "vault.set", 403, "Forbidden", inner)
    assert type(failure) is kind
    assert (failure.code, failure.word) == (code, inner)


@pytest.mark.parametrize("word", ["ObjectIsBeingRecovered", "ObjectIsBeingDeleted"])
def test_a_name_that_is_not_free_yet_is_waited_for_within_the_run(word: str) -> None:
    lab = due()
    body = f'{{"error":{{"code":"Conflict","message":"x","innererror":{{"code":"{word}"}}}}}}'
    lab.cloud.add_fault("vault.set", "status", times=3, status=409, body=body)
    assert row(lab.run()).error is None
    assert len(lab.cloud.calls("pats.create")) == 1
    assert len(lab.cloud.calls("vault.set")) == 4


def test_a_name_that_stays_busy_is_busy_after_a_minute_and_no_fresh_pat_is_left() -> None:
    lab = due()
    body = '{"error":{"code":"Conflict","message":"x","innererror":{"code":"ObjectIsBeingRecovered"}}}'
    lab.cloud.add_fault("vault.set", "status", call=None, status=409, body=body)
    began = lab.clock.now()
    failure = row(lab.run()).error
    assert failure is not None
    assert failure.code is Code.VAULT_UNREACHABLE
    assert "Recover or purge" not in failure.remedy
    assert timedelta(seconds=60) <= lab.clock.now() - began <= timedelta(seconds=90)
    assert len(lab.live()) == 1


# --- answers of the vault that people met -----------------------------------------------------------------------------


def test_a_redirect_of_the_vault_is_told_and_not_followed() -> None:
    lab = Lab([item()])
    before = len(lab.cloud.log)
    for status in (301, 302, 303, 307, 308):
        headers = {"Location": "https://patrol-demo-creds.vault.azure.net/secrets/x?token=abc"}
        lab.cloud.add_fault("vault.list", "status", call=None, status=status, headers=headers)
        with pytest.raises(Misconfigured) as caught:
            lab.world().vault.listing()
        assert "patrol-demo-creds.vault.azure.net" in caught.value.cause
        assert "token=abc" not in str(caught.value)
        lab.cloud.faults.clear()
    asked = {call.operation for call in lab.cloud.log[before:]}
    assert asked <= {"vault.list", "vault.challenge"}


@pytest.mark.parametrize("body", ["<html>gateway</html>", "[]", "{}", '"x"', '{"value": 7}', '{"value": [7]}', "null"])
def test_a_200_that_is_not_the_vault_s_is_no_crash(body: str) -> None:
    lab = Lab([item()])
    lab.vault.seed("build-pat", "x")
    deadline = Deadline.after(lab.clock, hours(9))
    vault = SecretVault(lab.settings.key_vault_url, LabIdentity(lab.cloud), session_for(lab.cloud), lab.clock, deadline)
    version = vault.current("build-pat").version
    for operation, call in (
        ("vault.list", vault.listing),
        ("vault.versions", lambda: vault.versions("build-pat")),
        ("vault.deleted", lambda: vault.is_deleted("build-pat")),
        ("vault.set", lambda: vault.note("patrol-blocked-x", {})),
        ("vault.get", lambda: lab.world().credentials.read("svc-agents-password")),
        ("vault.get", lambda: vault.current("build-pat")),
        ("vault.get", lambda: vault.look("build-pat")),
        ("vault.set", lambda: vault.publish("build-pat", SecretText("y"), lab.clock.now() + days(1), {})),
        ("vault.update", lambda: vault.change("build-pat", version, tags={"a": "b"})),
    ):
        lab.cloud.add_fault(operation, "status", call=None, status=200, body=body)
        with pytest.raises(PatrolError) as caught:
            call()
        assert not isinstance(caught.value, NotDone), (operation, caught.value)
        lab.cloud.faults.clear()


def test_a_listing_that_is_a_page_is_misconfigured_and_names_the_gateway() -> None:
    lab = Lab([item()])
    lab.cloud.add_fault("vault.list", "foreign", call=None, status=200, form="page")
    with pytest.raises(Misconfigured) as caught:
        lab.world().vault.listing()
    assert "gateway" in caught.value.remedy


def test_a_secret_that_goes_between_two_questions_is_not_there() -> None:
    lab = Lab([item()])
    lab.vault.seed("build-pat", "x", enabled=False)
    vault = lab.world().vault
    lab.cloud.add_fault("vault.versions", "status", status=200, body='{"value":[],"nextLink":null}')
    assert vault.look("build-pat").seen is None
    assert vault.look("build-pat").seen is not None


def test_a_secret_whose_newest_version_is_disabled_is_back_all_the_same() -> None:
    lab = Lab([item()])
    lab.vault.seed("build-pat", "x", enabled=False)
    lab.vault.delete("build-pat")
    vault = lab.world().vault
    vault.recover("build-pat")
    assert len(vault.versions("build-pat").versions) == 1


def test_versions_of_nothing_are_none_however_the_vault_says_it() -> None:
    lab = Lab([item()])
    vault = lab.world().vault
    assert vault.versions("none").versions == ()
    lab.cloud.add_fault("vault.versions", "status", status=200, body='{"value":[],"nextLink":null}')
    assert vault.versions("none").versions == ()


@pytest.mark.parametrize("date", ["soon", "Thu, 01 Jan 1970 00:00:00 +9999999999", "", "Mon, 01 Jan 0001 00:00:00 GMT"])
def test_a_date_that_cannot_be_read_is_no_crash(date: str) -> None:
    lab = Lab([item()])
    lab.cloud.add_fault("vault.list", "foreign", status=503, headers={"Date": date})
    assert lab.world().vault.listing().ahead == timedelta(0)


def test_rule_15_the_date_of_a_stranger_is_not_the_vault_s() -> None:
    lab = Lab([item()])
    lab.cloud.add_fault("vault.list", "foreign", status=503, headers={"Date": "Thu, 01 Jan 2015 00:00:00 GMT"})
    assert lab.world().vault.listing().ahead == timedelta(0)


# --- answers of Azure DevOps that people met --------------------------------------------------------------------------


def test_promise_8_the_one_code_that_helps_is_shown_with_its_remedy(called: Called) -> None:
    called.lab.cloud.faults.clear()
    body = '{"message": "TF401444: Please sign in once.", "typeKey": "UnauthorizedRequestException", "errorCode": 0}'
    called.lab.cloud.add_fault("pats.list", "status", call=None, status=401, body=body)
    failure = called.failure("pats.list")
    assert isinstance(failure, Denied)
    assert failure.word == "TF401444"
    assert "TF401444" in failure.cause
    assert "once in a browser" in failure.remedy
    assert "Please sign in once" not in str(failure)


def test_a_proof_by_a_path_of_the_item_s_own_must_be_azure_devops_answer() -> None:
    lab = Lab([item(verify="_apis/git/repositories?api-version=7.1")])
    good = lab.cloud.pats.seed(AGENTS, "contoso", "x", valid_from=lab.clock.now(), scope="vso.code")
    (wanted,) = lab.inventory().items()
    claim = Claim(wanted.username, wanted.organization, path=wanted.verify)
    verifier = lab.world().verifier
    verifier.verify(claim, SecretText(good.value))
    lab.cloud.add_fault("devops.other", "foreign", call=None, status=200, form="gateway")
    with pytest.raises(Unclear):
        verifier.verify(claim, SecretText(good.value))


def test_a_busy_service_and_an_absent_thing_are_still_told_in_its_own_words(called: Called) -> None:
    called.lab.cloud.faults.clear()
    assert isinstance(refused(called, "vault.get", 404, "SecretNotFound"), Absent)
    assert isinstance(refused(called, "vault.get", 429, "Throttled"), Busy)


def test_a_name_with_half_a_character_is_read_and_can_be_written(called: Called) -> None:
    called.lab.cloud.faults.clear()
    page = (
        '{"continuationToken":"","patTokens":[{"displayName":"half \\ud83d","validFrom":"2026-03-01T12:00:00Z",'
        '"validTo":"2027-03-01T12:00:00Z","scope":"vso.code","targetAccounts":null,'
        '"authorizationId":"0a000000-0000-4000-8000-000000000009","token":null}]}'
    )
    called.lab.cloud.add_fault("pats.list", "status", status=200, body=page)
    (pat,) = called.api.by_state("contoso", "active")
    assert pat.display_name.encode() == b"half ?"
