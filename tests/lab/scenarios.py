"""Estates on the brink of each kind of step, for tests that stop, cut or interleave a run at every call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS
from tests.lab.consumers import SERVICE_CONNECTION, SONARQUBE, WEBHOOK, Kind
from tests.lab.lab import Lab, days, hours, item

SECRET = "build-pat"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`make` gives an estate whose next run (with `asks`) does the step; `ends`: afterwards nothing is current.

    `enrolled`: nobody has a password; where days have passed, that run renews the enrollment as well.
    """

    name: str
    make: Callable[..., Lab]
    asks: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    ends: bool = False
    enrolled: bool = False

    def prepare(self) -> Lab:
        """The estate, made without HTTP for speed; what runs on it now goes through the real adapters."""
        lab = self.make(enrolled=self.enrolled)
        lab.quick = False
        return lab

    def __str__(self) -> str:
        return self.name


def first_mint(**more: Any) -> Lab:
    return Lab([item()], quick=True, **more)


def rotation(**more: Any) -> Lab:
    lab = Lab([item()], quick=True, **more)
    lab.run()
    lab.wait(days(24))
    return lab


def renewal(**more: Any) -> Lab:
    lab = Lab([item(strategy="renew")], quick=True, **more)
    lab.run()
    lab.wait(days(24))
    return lab


def renewal_that_must_rotate(**more: Any) -> Lab:
    lab = renewal(**more)
    lab.cloud.pats.organization("contoso").policies.max_lifetime = days(30)
    return lab


def retirement(**more: Any) -> Lab:
    lab = rotation(**more)
    lab.run()
    lab.wait(hours(25))
    return lab


def adoption(**more: Any) -> Lab:
    lab = Lab([item(adopt=True)], quick=True, **more)
    old = lab.cloud.pats.seed(AGENTS, "contoso", "made by hand", "vso.code", valid_from=lab.clock.now())
    lab.vault.seed(SECRET, old.value, created=lab.clock.now() - days(3))
    return lab


def adoption_of_a_known_pat(**more: Any) -> Lab:
    lab = Lab(quick=True, **more)
    old = lab.cloud.pats.seed(AGENTS, "contoso", "made by hand", "vso.code", valid_from=lab.clock.now())
    lab.vault.seed(SECRET, old.value, created=lab.clock.now() - days(3))
    lab.items = [item(adopt=old.authorization_id)]
    return lab


def emergency(**more: Any) -> Lab:
    lab = Lab([item()], quick=True, **more)
    lab.run()
    lab.wait(days(2))
    return lab


def emergency_in_overlap(**more: Any) -> Lab:
    lab = rotation(**more)
    lab.run()
    lab.wait(hours(3))
    return lab


def decommission(**more: Any) -> Lab:
    lab = emergency_in_overlap(**more)
    lab.items = [item(decommission=True)]
    return lab


def gone(**more: Any) -> Lab:
    lab = Lab([item()], quick=True, **more)
    lab.run()
    lab.wait(days(3))
    lab.cloud.pats.revoke_as_person(lab.live(SECRET)[0].authorization_id)
    return lab


def first_push(kind: Kind = SONARQUBE, **more: Any) -> Lab:
    lab = Lab([item(then=kind.then)], quick=True, **more)
    kind.prepare(lab)
    return lab


def rotation_with_a_consumer(kind: Kind = SONARQUBE, **more: Any) -> Lab:
    lab = first_push(kind, **more)
    lab.run()
    lab.wait(days(24))
    return lab


def retirement_with_a_consumer(**more: Any) -> Lab:
    lab = rotation_with_a_consumer(**more)
    lab.run()
    lab.wait(hours(25))
    return lab


def push_owed(kind: Kind = SONARQUBE, **more: Any) -> Lab:
    """The overlap is over, and the consumer refused the new value until now."""
    lab = rotation_with_a_consumer(kind, **more)
    allow = kind.refuse(lab)
    lab.run()
    lab.wait(hours(25))
    allow()
    return lab


def gone_with_a_consumer(**more: Any) -> Lab:
    lab = first_push(**more)
    lab.run()
    lab.wait(days(3))
    lab.cloud.pats.revoke_as_person(lab.live(SECRET)[0].authorization_id)
    return lab


ALONE = (
    Scenario("first mint", first_mint),
    Scenario("rotation", rotation),
    Scenario("renewal", renewal),
    Scenario("renewal that must rotate", renewal_that_must_rotate),
    Scenario("retirement", retirement),
    Scenario("adoption", adoption),
    Scenario("adoption of a known PAT", adoption_of_a_known_pat),
    Scenario("emergency", emergency, {"emergency": True}, (SECRET,)),
    Scenario("emergency in overlap", emergency_in_overlap, {"emergency": True}, (SECRET,)),
    Scenario("emergency that revokes first", emergency, {"emergency": True, "revoke_first": True}, (SECRET,)),
    Scenario("forced rotation", emergency, {"force": True}, (SECRET,)),
    Scenario("decommission", decommission, ends=True),
    Scenario("a PAT that a person revoked", gone),
)
SCENARIOS = (
    *ALONE,
    Scenario("first push", first_push),
    Scenario("rotation with a consumer", rotation_with_a_consumer),
    Scenario("retirement with a consumer", retirement_with_a_consumer),
    Scenario("push owed", push_owed),
    Scenario("emergency with a consumer", rotation_with_a_consumer, {"emergency": True}, (SECRET,)),
    Scenario("a PAT that a person revoked, with a consumer", gone_with_a_consumer),
    *(
        scenario
        for kind in (SERVICE_CONNECTION, WEBHOOK)
        for scenario in (
            Scenario(f"rotation with a {kind}", partial(rotation_with_a_consumer, kind)),
            Scenario(f"push owed to a {kind}", partial(push_owed, kind)),
            Scenario(
                f"emergency with a {kind}", partial(rotation_with_a_consumer, kind), {"emergency": True}, (SECRET,)
            ),
        )
    ),
)

ENROLLED = tuple(replace(one, name=f"{one.name}, enrolled", enrolled=True) for one in SCENARIOS)
"""The same steps for a user without a password (rule 16)."""
BY_CONSUMER = {f"{one.name}, enrolled" for one in SCENARIOS if one not in ALONE}
"""How a user signs in and what a consumer is given know nothing of each other: both at once are for `make chaos`."""
BY_NAME = {one.name: one for one in (*SCENARIOS, *ENROLLED)}


def either_sign_in(scenarios: Iterable[Scenario] = SCENARIOS, *, quick: Iterable[str]) -> list[Any]:
    """These as parameters of a test, then the same with an enrolled user; `make test` has the named ones of both."""
    names = {one.name for one in scenarios}
    both = [one for one in (*SCENARIOS, *ENROLLED) if one.name.removesuffix(", enrolled") in names]
    return [pytest.param(one, id=one.name, marks=mark_of(one, quick)) for one in both]


def mark_of(scenario: Scenario, quick: Iterable[str]) -> Any:
    if scenario.name in quick:
        return ()
    return pytest.mark.chaos if scenario.name in BY_CONSUMER else pytest.mark.exhaustive


def by_password(*but: str) -> tuple[str, ...]:
    """The names of all with a password, and of the enrolled ones `but`."""
    return tuple(one.name for one in SCENARIOS) + tuple(f"{name}, enrolled" for name in but)
