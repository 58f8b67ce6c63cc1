"""One suite for the ports' two sides: the fakes, and the real adapters over the sandbox's HTTP. They cannot drift."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sandbox.cloud.entra_estate import UserState
from sandbox.cloud.seed import AGENTS, CLIENT, CREDENTIALS_VAULT, SONAR, demo_estate
from sandbox.cloud.sonarqube import AzureSetting
from shared.model.clock import Moment, whole_seconds
from shared.model.consumers import SonarQube
from shared.model.credentials import ClientProof, ClientSecret, FederatedIdentity, SignIn
from shared.model.errors import (
    Absent,
    Again,
    ClientRefused,
    Code,
    Denied,
    Misconfigured,
    NotDone,
    Refused,
    Unclear,
    UserRefused,
)
from shared.model.items import User
from shared.model.pats import Claim, PatId
from shared.model.ports import PatApi
from shared.model.secret_state import CONTENT_TYPE
from shared.model.secret_text import SecretText
from shared.rotation.world import World
from tests.lab.consumers import PUBLISHED_AT, given
from tests.lab.lab import Lab, days, item

SIGN_IN = SignIn("contoso.onmicrosoft.com", CLIENT, ClientSecret("patrol-client-secret"))
PROOF = ClientProof(SecretText("sandbox-client-secret-demo"), "1")
USER = User(AGENTS, "svc-agents-password")
NOBODY = PatId("00000000-0000-4000-8000-000000000000")


@pytest.fixture(params=["fakes", "adapters"])
def lab(request: pytest.FixtureRequest) -> Lab:
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    made = Lab([item()], estate=estate, quick=request.param == "fakes")
    made.watch.by_hand = True  # what the ports do is tried, with values of any kind
    return made


@pytest.fixture
def world(lab: Lab) -> World:
    return lab.quick_world() if lab.quick else lab.world()


@pytest.fixture
def api(lab: Lab, world: World) -> PatApi:
    password = world.credentials.read("svc-agents-password")
    return world.directory.sign_in(SIGN_IN, USER, password.value, PROOF)


def test_mint_get_list_extend_revoke(lab: Lab, api: PatApi) -> None:
    now = lab.clock.now()
    made = api.mint("contoso", "patrol/x/build-pat", ("vso.code", "vso.build"), now + days(30))
    assert made.at == Moment(now, lab.clock.elapsed())
    assert lab.cloud.pats.authenticate("contoso", made.value.reveal()) is not None
    assert made.pat.validity.ends == whole_seconds(now + days(30))
    assert made.pat.organization_id == lab.cloud.pats.organization("contoso").guid
    assert made.pat.scopes == {"vso.code", "vso.build"}
    assert api.get("contoso", made.pat.id) == made.pat
    assert api.active("contoso") == (made.pat,)
    assert api.by_state("contoso", "all") == (made.pat,)
    assert api.active("fabrikam") == ()
    longer = api.extend("contoso", made.pat.id, "patrol/x/build-pat", ("vso.code",), now + days(60))
    assert longer.validity.ends == whole_seconds(now + days(60))
    assert longer.validity.starts == made.pat.validity.starts
    api.revoke("contoso", made.pat.id)
    api.revoke("contoso", made.pat.id)
    assert api.active("contoso") == ()
    assert api.revoked("contoso") == {made.pat.id}
    assert api.by_state("contoso", "revoked")[0].id == made.pat.id


def test_an_expired_pat_is_not_active(lab: Lab, api: PatApi) -> None:
    lab.cloud.pats.seed(AGENTS, "contoso", "old", valid_from=lab.clock.now() - days(9), valid_to=lab.clock.now())
    assert api.active("contoso") == ()
    assert len(api.by_state("contoso", "expired")) == 1


def test_what_the_user_does_not_have_is_absent(lab: Lab, api: PatApi) -> None:
    other = lab.cloud.pats.seed(SONAR, "contoso", "theirs", valid_from=lab.clock.now())
    for identity in (NOBODY, PatId(other.authorization_id)):
        with pytest.raises(Absent):
            api.get("contoso", identity)
        with pytest.raises(Absent):
            api.extend("contoso", identity, "x", ("vso.code",), lab.clock.now() + days(1))
        api.revoke("contoso", identity)
    assert not other.revoked


def test_a_policy_refuses_with_its_word(lab: Lab, api: PatApi) -> None:
    lab.cloud.pats.organization("contoso").policies.creation_restricted = True
    with pytest.raises(Refused) as caught:
        api.mint("contoso", "x", ("vso.code",), lab.clock.now() + days(1))
    assert (caught.value.code, caught.value.word) == (Code.MINT_REFUSED, "disablePatCreationPolicyViolation")


def test_an_unknown_organization_says_nothing_about_a_pat(lab: Lab, api: PatApi) -> None:
    for call in (lambda: api.active("nowhere"), lambda: api.get("nowhere", NOBODY)):
        with pytest.raises(Unclear) as caught:
            call()
        assert caught.value.code is Code.ORGANIZATION_UNKNOWN
    with pytest.raises(Unclear):
        api.revoke("nowhere", NOBODY)


def test_an_organization_the_user_is_not_in_denies(lab: Lab, api: PatApi) -> None:
    lab.cloud.pats.organization("contoso").members.discard(AGENTS)
    with pytest.raises(Denied) as caught:
        api.active("contoso")
    assert caught.value.code is Code.ORGANIZATION_DENIED


def test_verify_takes_only_a_living_pat_of_the_right_user(lab: Lab, world: World) -> None:
    (mine,) = lab.inventory().items()
    now = lab.clock.now()
    good = lab.cloud.pats.seed(AGENTS, "contoso", "x", valid_from=now)
    theirs = lab.cloud.pats.seed(SONAR, "contoso", "x", valid_from=now)
    elsewhere = lab.cloud.pats.seed(AGENTS, "fabrikam", "x", valid_from=now)
    world.verifier.verify(Claim(mine.username, mine.organization, good.organization), SecretText(good.value))
    good.revoked = True
    for value in (good.value, theirs.value, elsewhere.value, "nonsense"):
        with pytest.raises(Denied):
            world.verifier.verify(Claim(mine.username, mine.organization), SecretText(value))


def test_publish_current_versions_change_and_listing(lab: Lab, world: World) -> None:
    ends = whole_seconds(lab.clock.now() + days(30))
    first = world.vault.publish("Build-Pat", SecretText("one"), ends, {"a": "1"})
    lab.wait(timedelta(seconds=5))
    second = world.vault.publish("build-pat", SecretText("two"), ends, {"b": "2"})
    current = world.vault.current("BUILD-PAT")
    assert current.value == SecretText("two")
    assert current.version == second
    assert abs((lab.clock.now() - current.at).total_seconds()) < 2
    assert {one.version for one in world.vault.versions("build-pat")} == {first.version, second.version}
    world.vault.disable("build-pat", first.version)
    changed = world.vault.change("build-pat", second, tags={"c": "3"}, expires_on=ends + days(1))
    assert (changed.tags, changed.expires_on) == ({"c": "3"}, ends + days(1))
    (row,) = world.vault.listing().secrets.values()
    assert (row.name, row.key, row.enabled) == ("Build-Pat", "build-pat", True)
    assert (row.tags, row.expires_on, row.content_type) == ({"c": "3"}, ends + days(1), CONTENT_TYPE)
    assert row.created == second.created
    assert {one.version: one.enabled for one in world.vault.versions("build-pat")}[first.version] is False
    world.vault.note("patrol-blocked-x", {"state": "blocked"})
    assert world.vault.listing().secrets["patrol-blocked-x"].tags == {"state": "blocked"}


def test_a_secret_that_is_not_there(world: World) -> None:
    with pytest.raises(Absent):
        world.vault.current("none")
    assert world.vault.versions("none").versions == ()
    assert not world.vault.is_deleted("none")
    with pytest.raises(Absent):
        world.credentials.read("none")


def test_a_disabled_secret_is_denied_and_its_versions_are_seen(lab: Lab, world: World) -> None:
    version = lab.vault.seed("build-pat", "x", enabled=False)
    with pytest.raises(Denied) as caught:
        world.vault.current("build-pat")
    assert caught.value.code is Code.DISABLED
    assert [one.version for one in world.vault.versions("build-pat")] == [version.id]


def test_a_deleted_secret_refuses_a_write_until_it_is_recovered(lab: Lab, world: World) -> None:
    lab.vault.seed("build-pat", "x")
    lab.vault.delete("build-pat")
    lab.vault.settle()
    assert world.vault.is_deleted("build-pat")
    with pytest.raises(Refused) as caught:
        world.vault.publish("build-pat", SecretText("y"), lab.clock.now() + days(1), {})
    assert caught.value.code is Code.SECRET_DELETED
    world.vault.recover("build-pat")
    assert world.vault.current("build-pat").value == SecretText("x")


def test_a_consumer_takes_a_value_and_tells_what_is_missing(lab: Lab, world: World) -> None:
    server = lab.sonarqube()
    to = SonarQube("https://sonarqube.contoso.com", "contoso-azure", "sonarqube-token")
    token = world.credentials.read("sonarqube-token").value
    value = lab.cloud.pats.seed(AGENTS, "contoso", "x", valid_from=lab.clock.now()).value
    world.consumers.check(to, (token,), "contoso")
    for _ in range(2):
        world.consumers.push(to, (token,), given(value, "Contoso"))
        assert server.azure["contoso-azure"] == AzureSetting("contoso-azure", "https://dev.azure.com/contoso", value)
    for wrong in (SonarQube(to.url, "unknown", ""), to):
        with pytest.raises(Refused):
            world.consumers.check(wrong, (token,), "fabrikam")
    assert world.consumers.works(to, (token,), "contoso", PUBLISHED_AT)
    server.azure["contoso-azure"].pat = "nonsense"
    assert not world.consumers.works(to, (token,), "contoso", PUBLISHED_AT)
    with pytest.raises(Refused):
        world.consumers.works(to, (token,), "fabrikam", PUBLISHED_AT)
    with pytest.raises(Denied):
        world.consumers.works(to, (SecretText("nonsense"),), "contoso", PUBLISHED_AT)
    with pytest.raises(Refused) as refused:
        world.consumers.push(to, (token,), given("nonsense", "contoso"))
    assert refused.value.code is Code.CONSUMER_REFUSED
    with pytest.raises(Denied):
        world.consumers.check(to, (SecretText("nonsense"),), "contoso")
    server.tokens[token.reveal()] = False
    with pytest.raises(Denied):
        world.consumers.push(to, (token,), given(value, "contoso"))


def test_a_vault_that_forbids(lab: Lab, world: World) -> None:
    lab.vault.denied |= {"set", "list", "get"}
    with pytest.raises(Denied) as published:
        world.vault.publish("build-pat", SecretText("y"), lab.clock.now() + days(1), {})
    assert (published.value.code, published.value.word) == (Code.PUBLISH_FORBIDDEN, "ForbiddenByRbac")
    with pytest.raises(Misconfigured) as listed:
        world.vault.listing()
    assert listed.value.code is Code.VAULT_FORBIDDEN


def test_a_refused_write_says_so(lab: Lab, world: World) -> None:
    with pytest.raises(Refused) as caught:
        world.vault.publish("build-pat", SecretText("y" * 26_000), lab.clock.now() + days(1), {})
    assert (caught.value.code, caught.value.word) == (Code.PUBLISH_REFUSED, "BadParameter")


@pytest.mark.parametrize(
    ("state", "word", "again"),
    [
        (UserState.MFA_REQUIRED, "AADSTS50076", Again.DAILY),
        (UserState.DISABLED, "AADSTS50057", Again.DAILY),
        (UserState.PASSWORD_EXPIRED, "AADSTS50055", Again.NEVER),
        (UserState.LOCKED, "AADSTS50053", Again.LOCKED),
    ],
    ids=str,
)
def test_rule_12_a_refused_user_is_told_with_when_to_try_again(
    lab: Lab, world: World, state: UserState, word: str, again: Again
) -> None:
    lab.cloud.directory.user(AGENTS).state = state
    with pytest.raises(UserRefused) as caught:
        world.directory.sign_in(SIGN_IN, USER, SecretText("sandbox-password-agents"), PROOF)
    assert (caught.value.word, caught.value.again) == (word, again)


def test_a_wrong_password_is_never_tried_again(world: World) -> None:
    with pytest.raises(UserRefused) as caught:
        world.directory.sign_in(SIGN_IN, USER, SecretText("wrong"), PROOF)
    assert (caught.value.word, caught.value.again) == ("AADSTS50126", Again.NEVER)


def test_a_refused_client_and_an_unknown_tenant_concern_everybody(world: World) -> None:
    right = SecretText("sandbox-password-agents")
    with pytest.raises(ClientRefused) as client:
        world.directory.sign_in(SIGN_IN, USER, right, ClientProof(SecretText("wrong"), "1"))
    assert client.value.code is Code.CLIENT_REFUSED
    with pytest.raises(ClientRefused) as tenant:
        world.directory.sign_in(SignIn("nowhere.example.com", CLIENT, FederatedIdentity()), USER, right, PROOF)
    assert tenant.value.code is Code.TENANT_UNKNOWN


def test_rule_12_what_is_read_as_text_is_judged_and_a_certificate_is_read_as_one(lab: Lab, world: World) -> None:
    credentials = lab.cloud.vaults[CREDENTIALS_VAULT]
    credentials.seed("with-a-line-break", "word\n")
    credentials.seed("a-certificate", "bundle", content_type="application/x-pkcs12")
    for name in ("with-a-line-break", "a-certificate"):
        with pytest.raises(NotDone) as caught:
            world.credentials.read(name)
        assert caught.value.code is Code.CREDENTIAL_UNREADABLE
    held = world.credentials.read_certificate("a-certificate")
    assert (held.value, held.content_type) == (SecretText("bundle"), "application/x-pkcs12")
    with pytest.raises(Absent):
        world.credentials.read_certificate("none")
