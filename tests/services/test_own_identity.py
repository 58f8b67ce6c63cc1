"""patrol's own identity among threads: who needs the same token asks after the other, and shares its failure."""

from __future__ import annotations

import sys
import threading
import time
from types import CodeType, FrameType
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from shared.model.errors import Code, Misconfigured
from shared.services.identity import NoToken, OwnIdentity


class SlowIdentity:
    """An identity that is slow, and keeps no token; `answers` is what it says in turn."""

    def __init__(self, answers: list[AccessToken | Exception]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.asked.append(scopes[0])
        self.is_asked.set()
        assert self.may_answer.wait(20)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


VAULT_TOKEN = "https://vault.azure.net/.default"


def _inside(code: CodeType) -> set[int]:
    """The threads that are in a function right now."""
    found = set()
    for thread, frame in sys._current_frames().items():
        at: FrameType | None = frame
        while at is not None and at.f_code is not code:
            at = at.f_back
        if at is not None:
            found.add(thread)
    return found


def side_by_side(
    identity: OwnIdentity, slow: SlowIdentity, scope: str = VAULT_TOKEN, tenants: tuple[str, str] = ("one", "one")
) -> list[str]:
    """What two threads get, of which the second asks while the first waits for its answer."""
    got: list[str] = []

    def ask(wanted: str, tenant: str) -> None:
        try:
            got.append(identity.get_token(wanted, tenant_id=tenant).token)
        except NoToken as failure:
            got.append(failure.known.code.value)

    asked = zip((VAULT_TOKEN, scope), tenants, strict=True)
    first, second = (threading.Thread(target=ask, args=one) for one in asked)
    first.start()
    assert slow.is_asked.wait(20)
    second.start()
    while second.is_alive() and second.ident not in _inside(OwnIdentity.get_token.__code__):
        time.sleep(0.001)
    slow.may_answer.set()
    for thread in (first, second):
        thread.join(20)
    return got


def test_two_that_need_the_same_token_ask_for_it_one_after_the_other() -> None:
    slow = SlowIdentity([AccessToken("first", 1), AccessToken("second", 1)])
    assert sorted(side_by_side(OwnIdentity(slow), slow)) == ["first", "second"]


def test_promise_8_who_waited_for_a_token_shares_the_failure_and_does_not_wait_for_one_of_its_own() -> None:
    slow = SlowIdentity([ClientAuthenticationError("none"), AccessToken("later", 1)])
    identity = OwnIdentity(slow)
    assert side_by_side(identity, slow) == [Code.IDENTITY_UNAVAILABLE.value] * 2
    assert slow.asked == [VAULT_TOKEN]
    assert identity.get_token(VAULT_TOKEN).token == "later", "a failure that is over is nobody's"


def test_a_service_that_gives_no_token_fails_nobody_who_needs_another_s() -> None:
    slow = SlowIdentity([ClientAuthenticationError("none"), AccessToken("storage", 1)])
    got = side_by_side(OwnIdentity(slow), slow, "https://storage.azure.com/.default")
    assert sorted(got) == [Code.IDENTITY_UNAVAILABLE.value, "storage"]


def test_promise_5_a_tenant_that_gives_no_token_fails_no_vault_of_another_one() -> None:
    slow = SlowIdentity([ClientAuthenticationError("none"), AccessToken("the other tenant's", 1)])
    got = side_by_side(OwnIdentity(slow), slow, tenants=("one", "other"))
    assert sorted(got) == [Code.IDENTITY_UNAVAILABLE.value, "the other tenant's"]


def test_an_identity_that_is_wrapped_twice_tells_what_it_knew_the_first_time() -> None:
    known = Misconfigured(Code.SETTINGS_INVALID, "HTTP_PROXY is in the way.", "Unset it.")
    slow = SlowIdentity([known])
    slow.may_answer.set()
    with pytest.raises(NoToken) as caught:
        OwnIdentity(OwnIdentity(slow)).get_token(VAULT_TOKEN)
    assert caught.value.known is known
