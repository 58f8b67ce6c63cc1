"""A webhook of `then`: a signed CloudEvent that names secret, vault and version, and never a value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sandbox.cloud.seed import CREDENTIALS_VAULT
from shared.model.consumers import Keys, Webhook
from shared.model.errors import Code, NotDone, Refused, Unclear
from shared.model.ports import ConsumerServices
from tests.lab.consumers import PUBLISHED_AT, given, restarted
from tests.lab.copies import Restarted
from tests.lab.lab import Lab, item

TO = Webhook("restart-url", "restart-key")
VALUE = "a-new-value-of-a-pat-that-nobody-has"


def reached() -> tuple[Lab, Restarted, ConsumerServices, Keys]:
    lab = Lab([item()])
    one = restarted(lab)
    one.reads = lambda _, __: ""
    world = lab.world()
    return lab, one, world.consumers, tuple(world.credentials.read(name).value for name in TO.secret_names)


def test_promise_7_it_is_told_secret_vault_and_version_and_never_the_value() -> None:
    lab, one, consumers, keys = reached()
    assert (
        consumers.push(TO, keys, replace(given(VALUE), published_at=PUBLISHED_AT, owner="team-web@contoso.com")) == ""
    )
    (event,) = one.received
    assert VALUE not in json.dumps(event)
    assert event["type"] == "patrol.published"
    assert event["subject"] == "build-pat"
    assert event["source"] == f"patrol/{lab.settings.deployment_name}"
    assert event["data"]["run_id"] == "run-1"
    assert event["data"]["since"] == "2026-03-01T12:00:00Z"
    (named,) = event["data"]["items"]
    assert named == {
        "vault": "contoso-pats.vault.azure.net",
        "secret": "build-pat",
        "username": "svc-agents@contoso.com",
        "organization": "contoso",
        "expires_on": None,
        "version": "1" * 32,
        "owner": "team-web@contoso.com",
    }


def test_one_version_has_one_id_however_often_it_is_told() -> None:
    _, one, consumers, keys = reached()
    for version in ("1" * 32, "1" * 32, "2" * 32):
        consumers.push(TO, keys, given(VALUE, version=version))
    ids = [event["id"] for event in one.received]
    assert ids[0] == ids[1] != ids[2]
    assert one.ids == ids, "webhook-id says the same"
    assert len(one.shown) == 2


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_taken_for_told(status: int) -> None:
    lab, _, consumers, keys = reached()
    lab.cloud.add_fault("notice.webhook", "status", status=status)
    assert consumers.push(TO, keys, given(VALUE)) == ""


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ({"kind": "status", "status": 410}, Refused, Code.CONSUMER_REFUSED),
        ({"kind": "status", "status": 400}, Refused, Code.CONSUMER_REFUSED),
        ({"kind": "redirect"}, Refused, Code.CONSUMER_REFUSED),
        ({"kind": "status", "status": 503}, NotDone, Code.CONSUMER_UNREACHABLE),
        ({"kind": "cut_after_effect"}, Unclear, Code.CONSUMER_UNREACHABLE),
    ],
    ids=str,
)
def test_whatever_else_it_answers_is_told_as_a_consumer_s_failure(
    fault: dict[str, Any], kind: type[Exception], code: Code
) -> None:
    lab, _, consumers, keys = reached()
    lab.cloud.add_fault("notice.webhook", call=None, **fault)
    with pytest.raises(kind) as caught:
        consumers.push(TO, keys, given(VALUE))
    failure: Any = caught.value
    assert failure.code is code
    assert "restart-url" in str(failure)
    assert "/hooks/" not in str(failure), "its address is a secret"


def test_an_address_that_is_none_and_a_key_that_is_none_are_found_without_sending() -> None:
    lab, one, consumers, keys = reached()
    vault = lab.cloud.vaults[CREDENTIALS_VAULT]
    assert consumers.check(TO, keys, "contoso") == ""
    for name, wrong in (("restart-url", "http://restart.contoso.com/x"), ("restart-key", "nonsense")):
        vault.seed(name, wrong)
        world = lab.world()
        bad = tuple(world.credentials.read(one).value for one in TO.secret_names)
        with pytest.raises(NotDone) as caught:
            consumers.check(TO, bad, "contoso")
        assert caught.value.code is Code.CONSUMER_TOKEN_UNREADABLE
        assert name in str(caught.value)
        with pytest.raises(NotDone) as caught:
            consumers.push(TO, bad, given(VALUE))
        assert caught.value.code is Code.CONSUMER_TOKEN_UNREADABLE
        vault.seed("restart-url", keys[0].reveal())
    assert one.received == []
