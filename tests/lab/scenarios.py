"""Estates on the brink of each kind of step, for tests that stop, cut or interleave a run at every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.cloud.seed import AGENTS
from tests.lab.lab import THEN, Lab, days, hours, item

SECRET = "build-pat"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`make` gives an estate whose next run (with `asks`) does the step; `ends`: afterwards nothing is current."""

    name: str
    make: Callable[[], Lab]
    asks: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    ends: bool = False

    def prepare(self) -> Lab:
        """The estate, made without HTTP for speed; what runs on it now goes through the real adapters."""
        lab = self.make()
        lab.quick = False
        return lab

    def __str__(self) -> str:
        return self.name


def first_mint() -> Lab:
    return Lab([item()], quick=True)


def rotation() -> Lab:
    lab = Lab([item()], quick=True)
    lab.run()
    lab.wait(days(24))
    return lab


def renewal() -> Lab:
    lab = Lab([item(strategy="renew")], quick=True)
    lab.run()
    lab.wait(days(24))
    return lab


def renewal_that_must_rotate() -> Lab:
    lab = renewal()
    lab.cloud.pats.organization("contoso").policies.max_lifetime = days(30)
    return lab


def retirement() -> Lab:
    lab = rotation()
    lab.run()
    lab.wait(hours(25))
    return lab


def adoption() -> Lab:
    lab = Lab([item(adopt=True)], quick=True)
    old = lab.cloud.pats.seed(AGENTS, "contoso", "made by hand", "vso.code", valid_from=lab.clock.now())
    lab.vault.seed(SECRET, old.value, created=lab.clock.now() - days(3))
    return lab


def adoption_of_a_known_pat() -> Lab:
    lab = Lab(quick=True)
    old = lab.cloud.pats.seed(AGENTS, "contoso", "made by hand", "vso.code", valid_from=lab.clock.now())
    lab.vault.seed(SECRET, old.value, created=lab.clock.now() - days(3))
    lab.items = [item(adopt=old.authorization_id)]
    return lab


def emergency() -> Lab:
    lab = Lab([item()], quick=True)
    lab.run()
    lab.wait(days(2))
    return lab


def emergency_in_overlap() -> Lab:
    lab = rotation()
    lab.run()
    lab.wait(hours(3))
    return lab


def decommission() -> Lab:
    lab = emergency_in_overlap()
    lab.items = [item(decommission=True)]
    return lab


def gone() -> Lab:
    lab = Lab([item()], quick=True)
    lab.run()
    lab.wait(days(3))
    lab.cloud.pats.revoke_as_person(lab.live(SECRET)[0].authorization_id)
    return lab


def first_push() -> Lab:
    lab = Lab([item(then=THEN)], quick=True)
    lab.sonarqube()
    return lab


def rotation_with_a_consumer() -> Lab:
    lab = first_push()
    lab.run()
    lab.wait(days(24))
    return lab


def retirement_with_a_consumer() -> Lab:
    lab = rotation_with_a_consumer()
    lab.run()
    lab.wait(hours(25))
    return lab


def push_owed() -> Lab:
    """The overlap is over, and SonarQube refused the new value until now."""
    lab = rotation_with_a_consumer()
    server = lab.cloud.sonarqubes["sonarqube.contoso.com"]
    tokens, server.tokens = server.tokens, {}
    lab.run()
    lab.wait(hours(25))
    server.tokens = tokens
    return lab


def gone_with_a_consumer() -> Lab:
    lab = first_push()
    lab.run()
    lab.wait(days(3))
    lab.cloud.pats.revoke_as_person(lab.live(SECRET)[0].authorization_id)
    return lab


SCENARIOS = (
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
    Scenario("first push", first_push),
    Scenario("rotation with a consumer", rotation_with_a_consumer),
    Scenario("retirement with a consumer", retirement_with_a_consumer),
    Scenario("push owed", push_owed),
    Scenario("emergency with a consumer", rotation_with_a_consumer, {"emergency": True}, (SECRET,)),
    Scenario("a PAT that a person revoked, with a consumer", gone_with_a_consumer),
)
