"""Consumers of every kind, as tests set them up, look at their copies and break them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.cloud import service_connections
from sandbox.cloud.seed import CREDENTIALS_VAULT
from shared.model.consumers import Given
from shared.model.secret_text import SecretText
from tests.lab.copies import Restarted, copies
from tests.lab.lab import THEN, Lab, days

PUBLISHED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONNECTION = "5c000000-0000-4000-8000-000000000001"
HOME = "adatum"
"""The organization that has the service connection; the PAT works in another one."""
SIGNING_KEY = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


def given(value: str, organization: str = "contoso", version: str = "1" * 32) -> Given:
    """A published value of `build-pat`."""
    return Given(
        run_id="run-1",
        vault="contoso-pats.vault.azure.net",
        secret="build-pat",
        version=version,
        username="svc-agents@contoso.com",
        organization=organization,
        expires_on=None,
        published_at=PUBLISHED_AT,
        value=SecretText(value),
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of consumer. `calls`: what a push calls, in their order; `write` is what gives it the value."""

    name: str
    then: dict[str, Any]
    calls: tuple[str, ...]
    write: str
    keeps_copy: bool = True

    def __str__(self) -> str:
        return self.name

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Of what patrol reaches it with."""
        return tuple(value for key, value in self.then.items() if key.endswith("secret_name"))

    def prepare(self, lab: Lab, *, holds: str = "") -> None:
        """The consumer that `item(then=kind.then)` pushes to."""
        match self.name:
            case "sonarqube":
                lab.sonarqube().azure["contoso-azure"].pat = holds
            case "service-connection":
                connection(lab)
            case _:
                restarted(lab)

    def refuse(self, lab: Lab) -> Callable[[], None]:
        """Nobody may give it anything any more; gives how to allow it again."""
        match self.name:
            case "sonarqube":
                server = lab.cloud.sonarqubes["sonarqube.contoso.com"]
                tokens, server.tokens = server.tokens, dict.fromkeys(server.tokens, False)
                return lambda: setattr(server, "tokens", tokens)
            case "service-connection":
                there = lab.cloud.connections[CONNECTION]
                allowed, there.administrators = there.administrators, set()
                return lambda: setattr(there, "administrators", allowed)
            case _:
                one = lab.cloud.recipients["restart.contoso.com"]
                target, one.target = one.target, "/moved"
                return lambda: setattr(one, "target", target)

    def copy(self, lab: Lab) -> str:
        """What it uses now; "" while it has none."""
        match self.name:
            case "sonarqube":
                setting = lab.cloud.sonarqubes["sonarqube.contoso.com"].azure.get("contoso-azure")
                return "" if setting is None else setting.pat
            case _:
                (found,) = copies(lab.cloud)
                return found

    def put_back(self, lab: Lab, value: str) -> None:
        """Somebody gave it an older value."""
        match self.name:
            case "sonarqube":
                lab.cloud.sonarqubes["sonarqube.contoso.com"].azure["contoso-azure"].pat = value
            case "service-connection":
                there = lab.cloud.connections[CONNECTION]
                there.secrets = dict.fromkeys(there.secrets, value)
                there.modified("person", lab.clock.now())
            case _:
                raise AssertionError("it keeps no copy that somebody could put back")


SONARQUBE = Kind(
    "sonarqube",
    THEN,
    ("sonarqube.list_definitions", "sonarqube.update_azure", "sonarqube.validate"),
    "sonarqube.update_azure",
)
SERVICE_CONNECTION = Kind(
    "service-connection",
    {"kind": "service-connection", "organization": HOME, "project": "web", "id": CONNECTION},
    ("connections.get", "connections.update"),
    "connections.update",
)
WEBHOOK = Kind(
    "webhook",
    {"kind": "webhook", "url_secret_name": "restart-url", "signing_secret_name": "restart-key"},
    ("notice.webhook",),
    "notice.webhook",
    keeps_copy=False,
)
KINDS = (SONARQUBE, SERVICE_CONNECTION, WEBHOOK)


def connection(
    lab: Lab, *, url: str = "https://dev.azure.com/contoso", **more: Any
) -> service_connections.ServiceConnection:
    """A service connection that patrol's identity administers; its token is nobody's yet."""
    subject = lab.cloud.identity.subject
    lab.cloud.pats.add_organization(HOME, members={subject})
    made = service_connections.new(HOME, "web", CONNECTION, url, lab.clock.now() - days(90), **more)
    made.administrators = {subject}
    made.used = lab.clock.now()
    lab.cloud.connections[CONNECTION] = made
    return made


def restarted(lab: Lab) -> Restarted:
    """A receiver of Standard Webhooks that restarts a pod."""
    host = "restart.contoso.com"
    address = lab.cloud.add_recipient(host, "webhook", SIGNING_KEY)
    plain = lab.cloud.recipients[host]

    def reads(name: str, vault: str) -> str:
        return lab.cloud.vaults[vault].secret(name).latest.value

    made = Restarted(plain.kind, plain.target, plain.token, plain.key, reads=reads)
    lab.cloud.recipients[host] = made
    vault = lab.cloud.vaults[CREDENTIALS_VAULT]
    vault.seed("restart-url", address, created=lab.clock.now() - days(90))
    vault.seed("restart-key", SIGNING_KEY, created=lab.clock.now() - days(90))
    return made


def asked(operations: Mapping[str, Any] | list[str]) -> list[str]:
    """Those of operations that are a consumer's."""
    return [name for name in operations if name.startswith(("sonarqube.", "connections.", "notice."))]
