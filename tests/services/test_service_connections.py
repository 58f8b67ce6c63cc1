"""A service connection: its token alone changes, and what is not its own word is doubt."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sandbox.cloud.cloud import Operation
from sandbox.cloud.service_connections import ServiceConnection as SandboxConnection
from shared.model.consumers import ServiceConnection
from shared.model.errors import Code, Denied, NotDone, Refused, Unclear
from shared.model.ports import ConsumerServices
from tests.lab.consumers import CONNECTION, HOME, connection, given
from tests.lab.lab import Lab, days

TO = ServiceConnection(HOME, "web", CONNECTION)
VALUE = "a-new-value-of-a-pat-that-nobody-has"


def reached(**more: Any) -> tuple[Lab, SandboxConnection, ConsumerServices]:
    lab = Lab()
    there = connection(lab, **more)
    return lab, there, lab.world().consumers


def whole(lab: Lab, there: SandboxConnection) -> dict[str, Any]:
    """All that anybody is shown of it, but when it was changed and by whom."""
    shown = deepcopy(there.answer(lab.clock.now()))
    return {name: value for name, value in shown.items() if name not in ("modificationDate", "modifiedBy")}


@pytest.mark.parametrize(
    ("more", "parameter"),
    [
        ({}, "apitoken"),
        ({"scheme": "UsernamePassword", "kind": "generic"}, "password"),
        ({"kind": "externalnpmregistry", "url": "https://pkgs.dev.azure.com/contoso/_packaging/x/npm"}, "apitoken"),
        ({"url": "https://contoso.visualstudio.com"}, "apitoken"),
    ],
    ids=["a token", "a user and a password", "a feed", "the older address"],
)
def test_promise_4_its_token_changes_and_nothing_else_of_it(more: dict[str, Any], parameter: str) -> None:
    lab, there, consumers = reached(**more)
    before = whole(lab, there)
    lab.wait(timedelta(minutes=1))
    for _ in range(2):
        assert consumers.push(TO, (), given(VALUE)) == ""
        assert there.secrets == {parameter: VALUE}
        assert whole(lab, there) == before
    assert [call.operation for call in lab.cloud.calls() if call.operation.startswith("connections")][:3] == [
        "connections.get",
        "connections.update",
        "connections.get",
    ]
    assert VALUE not in str(there.answer(lab.clock.now())), "nobody is shown a token"


def test_promise_7_the_value_travels_in_the_body_alone() -> None:
    lab, _, consumers = reached()
    consumers.push(TO, (), given(VALUE))
    assert VALUE not in "".join(f"{call.path}?{call.query}" for call in lab.cloud.calls())


def test_what_a_write_changed_besides_is_told_by_its_name() -> None:
    lab, there, consumers = reached()

    def renamed(met: Operation) -> None:
        if met.name == "connections.update":
            there.shown["name"] = "renamed"

    lab.cloud.after_effect = renamed
    with pytest.raises(Refused) as caught:
        consumers.push(TO, (), given(VALUE))
    assert caught.value.code is Code.CONSUMER_REFUSED
    assert "not as it was before in: name" in caught.value.cause


def test_one_that_no_pipeline_has_used_for_100_days_is_given_the_value_and_told_to_be_disabled() -> None:
    lab, there, consumers = reached()
    assert consumers.check(TO, (), "contoso") == ""
    lab.wait(days(100))
    assert "no pipeline has used it for 100 days" in consumers.check(TO, (), "contoso")
    assert "enable it" in consumers.push(TO, (), given(VALUE))
    assert there.token == VALUE


def test_that_somebody_else_changed_it_since_the_value_was_published_is_told() -> None:
    lab, there, consumers = reached()
    now = replace(given(VALUE), published_at=lab.clock.now())
    assert consumers.push(TO, (), now) == ""
    lab.wait(days(1))
    assert consumers.push(TO, (), now) == "", "patrol itself was the last"
    there.modified("person", lab.clock.now())
    assert "Somebody else had changed it" in consumers.push(TO, (), now)


def test_one_that_is_older_than_the_published_value_cannot_hold_it() -> None:
    lab, there, consumers = reached()
    assert not consumers.works(TO, (), "contoso", lab.clock.now())
    there.modified("anybody", lab.clock.now())
    assert consumers.works(TO, (), "contoso", lab.clock.now() + timedelta(minutes=4)), "two clocks differ by minutes"
    there.shown["modificationDate"] = "once"
    assert consumers.works(TO, (), "contoso", lab.clock.now()), "nothing is known against it"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda there: there.shown.update(url="https://dev.azure.com/fabrikam"),
            "another address than the organization",
        ),
        (lambda there: there.shown.update(url="https://dev.azure.com.evil.example/contoso"), "another address"),
        (lambda there: there.shown.update(url="http://dev.azure.com/contoso"), "another address"),
        (lambda there: there.shown.update(url=None), "another address"),
        (lambda there: there.shown.update(url="https://[x/contoso"), "another address"),
        (lambda there: there.shown["authorization"].update(scheme="ServicePrincipal"), "a PAT has no place in it"),
        (lambda there: there.shown["authorization"].update(scheme=None), "a PAT has no place in it"),
    ],
)
def test_what_a_pat_does_not_belong_in_is_refused_before_it_is_written(change: Any, says: str) -> None:
    lab, there, consumers = reached()
    change(there)
    with pytest.raises(Refused, match=says):
        consumers.push(TO, (), given(VALUE))
    with pytest.raises(Refused, match=says):
        consumers.check(TO, (), "contoso")
    assert lab.cloud.calls("connections.update") == []


def test_one_that_is_not_there_or_in_another_project_is_refused() -> None:
    lab, _, consumers = reached()
    with pytest.raises(Refused, match="is not there"):
        consumers.check(ServiceConnection(HOME, "web", "5c000000-0000-4000-8000-00000000000f"), (), "contoso")
    with pytest.raises(Refused, match="ProjectDoesNotExistException"):
        consumers.check(ServiceConnection(HOME, "other", CONNECTION), (), "contoso")
    with pytest.raises(Unclear):
        consumers.check(ServiceConnection("nowhere", "web", CONNECTION), (), "contoso")
    assert lab.cloud.calls("connections.update") == []


def test_who_may_not_administer_it_is_told_what_patrol_s_identity_needs() -> None:
    lab, there, consumers = reached()
    there.administrators.clear()
    with pytest.raises(Refused, match="Administrator of this service connection"):
        consumers.push(TO, (), given(VALUE))
    lab.cloud.pats.organization(HOME).members.clear()
    with pytest.raises(Denied, match=f"Add patrol's managed identity to the organization {HOME}"):
        consumers.check(TO, (), "contoso")


def test_without_an_identity_nothing_is_asked() -> None:
    lab, _, consumers = reached()
    lab.cloud.identity.enabled = False
    with pytest.raises(NotDone) as caught:
        consumers.check(TO, (), "contoso")
    assert caught.value.code is Code.CONSUMER_TOKEN_UNREADABLE
    assert lab.cloud.calls("connections.get") == []


@pytest.mark.parametrize("operation", ["connections.get", "connections.update"])
def test_no_redirect_is_followed_and_no_page_is_an_answer(operation: str) -> None:
    lab, there, consumers = reached()
    for fault in (
        {"kind": "redirect"},
        {"kind": "sign_in_page"},
        {"kind": "garbage"},
        {"kind": "wrong_type"},
        {"kind": "foreign", "status": 200, "form": "list"},
        {"kind": "foreign", "status": 302, "form": "empty", "headers": {"Location": "https://evil.example/x"}},
    ):
        lab.cloud.add_fault(operation, call=None, **fault)
        with pytest.raises((Unclear, Denied)):
            consumers.push(TO, (), given(VALUE))
        lab.cloud.faults.clear()
    assert {call.host for call in lab.cloud.calls()} == {"dev.azure.com"}
    consumers.push(TO, (), given(VALUE))
    assert there.token == VALUE


def test_an_answer_that_was_lost_once_is_asked_again_in_the_same_run() -> None:
    lab, there, consumers = reached()
    lab.cloud.add_fault("connections.update", "cut_after_effect")
    assert consumers.push(TO, (), given(VALUE)) == ""
    assert there.token == VALUE
    assert len(lab.cloud.calls("connections.update")) == 2
