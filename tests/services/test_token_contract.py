"""The ports for tokens: the fakes, and the real adapters over the sandbox's HTTP, held to the same behaviour."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sandbox.cloud.entra import AZURE_DEVOPS
from sandbox.cloud.foreign_answers import STATUSES
from shared.model.clock import whole_seconds
from shared.model.credentials import ClientProof, ClientSecret
from shared.model.errors import Code, Denied, Misconfigured, Refused, Unclear
from shared.model.items import TokenItem
from shared.model.pats import ServiceToken
from shared.model.secret_state import TOKEN_CONTENT_TYPE
from shared.model.secret_text import SecretText
from shared.rotation.world import World
from tests.lab.lab import Lab
from tests.lab.token_estates import APP, OTHER_APP, SECRET, lab, minutes

TENANT = "contoso.onmicrosoft.com"
ITEM = TokenItem(SECRET, APP, ClientSecret("app-secret"), "contoso")


@pytest.fixture(params=["fakes", "adapters"])
def estate(request: pytest.FixtureRequest) -> Lab:
    return lab(quick=request.param == "fakes")


@pytest.fixture
def world(estate: Lab) -> World:
    return estate.quick_world() if estate.quick else estate.world()


def proof(world: World, name: str = "app-secret") -> ClientProof:
    return world.proofs.of(ClientSecret(name), world.clock.now())


def issue(world: World, client_id: str = APP, name: str = "app-secret") -> ServiceToken:
    return world.tokens.issue(TENANT, client_id, proof(world, name))


def test_every_question_gets_a_new_token(estate: Lab, world: World) -> None:
    first, second = issue(world), issue(world)
    assert first.value != second.value
    assert first.lives == minutes(60)
    assert first.object_id == estate.cloud.directory.apps[APP].object_id
    bearer = estate.cloud.directory.bearer(first.value.reveal(), AZURE_DEVOPS)
    assert bearer is not None
    assert bearer.subject == APP


def test_the_token_of_a_member_is_verified_and_no_other(estate: Lab, world: World) -> None:
    token = issue(world)
    world.verifier.verify_token(ITEM, token)
    estate.cloud.pats.organization("contoso").members.add(OTHER_APP)
    other = issue(world, OTHER_APP, "other-app-secret")
    with pytest.raises(Denied) as somebody_else:
        world.verifier.verify_token(ITEM, ServiceToken(other.value, other.lives, token.object_id))
    assert somebody_else.value.code is Code.VERIFY_FAILED
    estate.cloud.pats.organization("contoso").members.discard(APP)
    with pytest.raises(Denied) as stranger:
        world.verifier.verify_token(ITEM, token)
    assert stranger.value.code is Code.ORGANIZATION_DENIED


def test_an_expired_token_and_an_unknown_organization(estate: Lab, world: World) -> None:
    token = issue(world)
    with pytest.raises(Unclear) as nowhere:
        world.verifier.verify_token(TokenItem(SECRET, APP, ClientSecret("app-secret"), "nowhere"), token)
    assert nowhere.value.code is Code.ORGANIZATION_UNKNOWN
    estate.wait(timedelta(hours=1))
    with pytest.raises(Denied):
        world.verifier.verify_token(ITEM, token)


def test_what_entra_refuses_concerns_one_service_principal(estate: Lab, world: World) -> None:
    with pytest.raises(Refused) as wrong:
        world.tokens.issue(TENANT, APP, ClientProof(SecretText("not the right one"), "1"))
    assert (wrong.value.code, wrong.value.word) == (Code.PRINCIPAL_REFUSED, "AADSTS7000215")
    with pytest.raises(Refused) as unknown:
        world.tokens.issue(TENANT, "22222222-0000-4000-8000-00000000000f", proof(world))
    assert unknown.value.word == "AADSTS700016"
    estate.cloud.directory.apps[APP].disabled = True
    with pytest.raises(Refused) as disabled:
        issue(world)
    assert disabled.value.word == "AADSTS7000112"


def test_an_unknown_tenant_is_a_misconfiguration(world: World) -> None:
    with pytest.raises(Misconfigured) as unknown:
        world.tokens.issue("nowhere.example.com", APP, proof(world))
    assert unknown.value.code is Code.TENANT_UNKNOWN


def test_a_look_at_one_secret_tells_its_version(estate: Lab, world: World) -> None:
    ends = whole_seconds(estate.clock.now() + minutes(60))
    version = world.vault.publish(SECRET, SecretText("a value of some length"), ends, {"a": "1"}, TOKEN_CONTENT_TYPE)
    seen = world.vault.look(SECRET).seen
    assert seen is not None
    assert (seen.version, seen.content_type, seen.expires_on) == (version.version, TOKEN_CONTENT_TYPE, ends)


def test_rule_12_no_status_in_foreign_words_refuses_a_service_principal_or_a_tenant() -> None:
    estate = lab(quick=False)
    for operation in ("entra.token", "entra.discovery"):
        for status in (200, *STATUSES):
            for form in ("page", "gateway", "oauth", "empty"):
                estate.cloud.add_fault(operation, "foreign", call=None, status=status, form=form)
                with pytest.raises(Unclear) as caught:
                    issue(estate.world(timedelta(days=99)))
                assert caught.value.code is Code.SIGN_IN_UNAVAILABLE, (operation, status, form)
                estate.cloud.faults.clear()


@pytest.mark.parametrize("seconds", ['"9999999999999999999999"', '"²"', "-1", "null", '"soon"'])
def test_a_token_that_lives_for_no_readable_time_is_no_answer(seconds: str) -> None:
    estate = lab(quick=False)
    body = f'{{"access_token": "a.b.c", "token_type": "Bearer", "expires_in": {seconds}}}'
    estate.cloud.add_fault("entra.token", "status", call=None, status=200, body=body)
    with pytest.raises(Unclear):
        issue(estate.world())
