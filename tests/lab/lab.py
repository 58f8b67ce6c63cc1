"""A whole estate in one process: the sandbox's cloud, patrol's real adapters over it, and a clock that tests move."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import yaml
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.keyvault.secrets._shared import http_challenge_cache

from sandbox.cloud.clock import ManualClock
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.key_vault import Vault, Version
from sandbox.cloud.pats import Pat
from sandbox.cloud.recipients import Recipient
from sandbox.cloud.seed import AGENTS, CREDENTIALS_VAULT, PATS_VAULT, apply, enroll, mark, small_estate
from sandbox.cloud.sonarqube import AzureSetting, SonarQube
from sandbox.process.in_process import SandboxAdapter, session_for
from shared import settings, wiring
from shared.inventory import pats_yaml
from shared.model import run_ids
from shared.model.clock import GRACE, Deadline, VaultTime
from shared.model.errors import PatrolError
from shared.model.inventory_files import InventoryFile, InventoryFiles
from shared.model.items import Inventory, User
from shared.model.ports import Links, VaultLogs
from shared.model.ports import Vault as VaultPort
from shared.model.request import Request
from shared.model.single_flight import Alone, SingleFlight
from shared.model.tags import Mark
from shared.report.history import History, NoHistory
from shared.report.report import Report, Row
from shared.report.told import Forgetful, ToldBefore
from shared.rotation.links import NoLinks
from shared.rotation.run import run
from shared.rotation.sign_in import SignIns
from shared.rotation.threads import Threads
from shared.rotation.tokens import refresh
from shared.rotation.world import World
from shared.services.client_credentials import ClientCredentials
from shared.services.managed_identity import ManagedAssertion
from shared.services.notice_post import SessionPost
from shared.services.recipients import NoticeRecipients
from shared.services.webhooks import Webhooks
from tests.lab.fake_consumers import FakeConsumers
from tests.lab.fakes import (
    FakeDirectory,
    FakeEnrolled,
    FakeTokens,
    FakeVault,
    FakeVerifier,
    Trouble,
    passed,
)
from tests.lab.invariants import Watch, WatchedDirectory, WatchedEnrolled, WatchedVault

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENVIRONMENT = {
    "KEY_VAULT_URL": f"https://{PATS_VAULT}",
    "CREDENTIALS_VAULT_URL": "https://patrol-demo-creds.vault.azure.net",
    # One thread, unless a test wants more: a clock that calls move has no use for two.
    "PARALLEL_USERS": "1",
}


THEN = {
    "kind": "sonarqube",
    "url": "https://sonarqube.contoso.com",
    "alm_setting": "contoso-azure",
    "token_secret_name": "sonarqube-token",
}

Work = Callable[[Inventory, World, Mark, Request, Threads], Report]

MADE: list[Lab] = []
"""The labs of the running test, for what is checked after every test."""


def days(number: float) -> timedelta:
    return timedelta(days=number)


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


@dataclass(frozen=True, slots=True)
class LabClock:
    """The product's clock: sleeping moves it, and costs nothing."""

    manual: ManualClock
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return self.manual.now() + self.ahead

    def elapsed(self) -> timedelta:
        return passed(self.manual.now())

    def sleep(self, duration: timedelta) -> None:
        self.manual.move(max(duration, timedelta(0)))


class LabIdentity:
    """The app's own identity, without the managed identity endpoint in between."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if not self._cloud.identity.enabled:
            raise ClientAuthenticationError("no managed identity")
        audience, subject = scopes[0].removesuffix("/.default"), self._cloud.identity.subject
        value = self._cloud.directory.application_token(audience, subject)[0]
        # azure-core judges the token's age by the machine's clock, not the lab's.
        return AccessToken(value, int(datetime.now(UTC).timestamp()) + 3600)


class Unreachable(SandboxAdapter):
    """The network cannot even connect for a write to a vault."""

    def __init__(self, cloud: Cloud, operation: str) -> None:
        super().__init__(cloud)
        self._method = {"vault.set": "PUT"}[operation]

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if request.method == self._method and ".vault." in (request.url or ""):
            raise requests.exceptions.ConnectTimeout("Connection timed out", request=request)
        return super().send(request, *args, **kwargs)


@dataclass
class Lab:
    """`items` are the `pats:` of the one technical user unless `users` says more.

    `enrolled`: every user signs in by what a person's enrollment left, whatever `users` says of passwords.
    """

    items: list[dict[str, Any]] = field(default_factory=list)
    users: list[dict[str, Any]] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    principals: list[dict[str, Any]] = field(default_factory=list)
    sign_in: dict[str, Any] = field(default_factory=lambda: {"client_secret_name": "patrol-client-secret"})
    estate: Mapping[str, Any] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    start: datetime = START
    quick: bool = False
    flight: SingleFlight = field(default_factory=Alone)
    runs: History = field(default_factory=NoHistory)
    federated: TokenCredential | None = None
    links: Links = field(default_factory=NoLinks)
    enrolled: bool = False
    notify: list[dict[str, Any]] = field(default_factory=list)
    told_before: ToldBefore = field(default_factory=Forgetful)
    logs: VaultLogs | None = None
    """Of vaults, for a world without HTTP; the other reads what the cloud recorded."""
    teams: dict[str, str] = field(default_factory=dict)
    """Files beside the one with `sign_in`, by name: the inventory is a folder then."""

    def __post_init__(self) -> None:
        self.manual = ManualClock(self.start)
        self.cloud = Cloud(self.manual.now, seed=1)
        apply(self.cloud, dict(self.estate or small_estate()))
        self.clock = LabClock(self.manual)
        self.trouble = Trouble()
        self.trouble_at: dict[str, Trouble] = {}  # of one vault, by its host
        self.skew = timedelta(0)
        self.unreachable_for = ""
        self.large: Inventory | None = None  # instead of `users`: written out and read once
        self.events: list[tuple[str, dict[str, object]]] = []
        self.reports: list[Report] = []
        self.failures: list[str] = []
        self.run_numbers = count()
        MADE.append(self)
        self.settings = settings.read({**ENVIRONMENT, **self.environment}, Path())
        self.host = self.settings.vault_host
        self.post = SessionPost(session_for(self.cloud, self._waited))
        self.watch = Watch(self.cloud, self.host, self.settings.mark, lambda: self.inventory().items())
        for user in self.cloud.directory.users() if self.enrolled else ():
            self.enroll(user.upn)

    @property
    def vault(self) -> Vault:
        return self.cloud.vaults[self.host]

    def pats_yaml(self) -> str:
        return str(yaml.safe_dump(self._tree()))

    def _tree(self) -> dict[str, Any]:
        users = self.users or [{"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": self.items}]
        users = [_enrolled(user) for user in users] if self.enrolled else users
        defaults = {"organization": "contoso", "lifetime": "30d", "rotate_before": "7d", "overlap": "1d"}
        sign_in = {
            "tenant": "contoso.onmicrosoft.com",
            "client_id": "11111111-2222-3333-4444-555555555555",
            **self.sign_in,
        }
        tree = {"sign_in": sign_in, "defaults": {**defaults, **self.defaults}, "users": users}
        if self.principals:
            tree["service_principals"] = self.principals
        if self.notify:
            tree["notify"] = self.notify
        return tree

    def inventory(self) -> Inventory:
        if self.teams:
            files = {"platform.yaml": self.pats_yaml(), **self.teams}
            each = tuple(InventoryFile(name, files[name]) for name in sorted(files))
            return pats_yaml.load_files(InventoryFiles("the folder", each, True))
        return self.large or _loaded(json.dumps(self._tree()), self.settings.vault_host)

    def world(self, budget: timedelta = timedelta(minutes=20), grace: timedelta = GRACE) -> World:
        """Fresh adapters, as a new process has them: the SDK keeps Key Vault's challenges for the whole process."""
        http_challenge_cache.clear()
        http = session_for(self.cloud, self._waited)
        if self.unreachable_for:
            http.mount("https://", Unreachable(self.cloud, self.unreachable_for))
        clock = LabClock(self.manual, self.skew)
        identity = LabIdentity(self.cloud)
        world = wiring.world(
            self.settings,
            budget,
            grace=grace,
            clock=clock,
            http=http,
            identity=identity,
            federated=lambda: self.federated or identity,
            tell=self.tell,
        )
        return self._watched(
            replace(world, flight=self.flight, runs=self.runs, links=self.links, told=self.told_before)
        )

    def quick_world(self, budget: timedelta = timedelta(minutes=20)) -> World:
        """The ports without HTTP in between."""
        pats_vault, credentials = (urlsplit(url).hostname or "" for url in self._urls())
        passwords = FakeVault(self.cloud, credentials, self.trouble)
        recipients = NoticeRecipients(self.post, self.clock)
        deadline = Deadline.after(self.clock, budget)
        world = World(
            vault=self._fake_vault(pats_vault),
            credentials=passwords,
            proofs=ClientCredentials(
                passwords, ManagedAssertion(lambda: LabIdentity(self.cloud), self.settings.authority_host)
            ),
            directory=FakeDirectory(self.cloud, self.trouble),
            enrolled=FakeEnrolled(self.cloud, self.trouble),
            refresh_tokens=passwords,
            verifier=FakeVerifier(self.cloud, self.trouble),
            consumers=FakeConsumers(self.cloud, self.trouble, self._webhooks(recipients, deadline)),
            recipients=recipients,
            tokens=FakeTokens(self.cloud, self.trouble),
            clock=self.clock,
            deadline=deadline,
            tell=self.tell,
            vault_host=pats_vault,
            flight=self.flight,
            runs=self.runs,
            told=self.told_before,
            logs=self.logs,
            elsewhere=lambda address: self._fake_vault(address.host),
        )
        return self._watched(world)

    def _webhooks(self, recipients: NoticeRecipients, deadline: Deadline) -> Webhooks:
        return Webhooks(recipients, self.clock, deadline, self.settings.deployment_name)

    def _fake_vault(self, host: str) -> FakeVault:
        return FakeVault(self.cloud, host, self.trouble_at.get(host, self.trouble))

    def _watched(self, world: World) -> World:
        """Every write of a run is checked where it is made: tests/lab/invariants.py."""
        vault = WatchedVault(world.vault, self.watch, self.settings.vault_host)
        others = wiring.Opened(
            lambda address: cast(VaultPort, WatchedVault(world.elsewhere(address), self.watch, address.host))
        )
        directory = WatchedDirectory(world.directory, self.watch)
        enrolled = WatchedEnrolled(world.enrolled, self.watch)
        return replace(world, vault=vault, directory=directory, enrolled=enrolled, elsewhere=others.at)

    def _waited(self, seconds: float) -> None:
        self.clock.sleep(timedelta(seconds=seconds))

    def recipient(self, kind: str = "webhook", key: str = "", **more: Any) -> Recipient:
        """Somebody who is told from now on; `more` are keys of `notify`."""
        name = f"{kind}-{len(self.notify)}"
        host = f"{name}.contoso.com"
        vault = self.cloud.vaults[CREDENTIALS_VAULT]
        vault.seed(f"{name}-url", self.cloud.add_recipient(host, kind, key), created=self.clock.now())
        entry = {"kind": kind, "url_secret_name": f"{name}-url", **more}
        if key:
            vault.seed(f"{name}-key", key, created=self.clock.now())
            entry["signing_secret_name"] = f"{name}-key"
        self.notify.append(entry)
        return self.cloud.recipients[host]

    def enroll(self, upn: str = AGENTS) -> str:
        """As if a person had enrolled the user just now; gives the secret's name."""
        return enroll(self.cloud, upn, CREDENTIALS_VAULT)

    def kept(self, upn: str = AGENTS) -> list[Version]:
        """The versions of the user's enrollment, oldest first."""
        kept = self.cloud.vaults[CREDENTIALS_VAULT].secret(User(upn, "", enrolled=True).credential_name)
        return sorted(kept.versions.values(), key=lambda version: version.created)

    def sign_everybody_in(self) -> None:
        """As if every user had signed in before: the note about it is written, and nothing else is to be seen of it."""
        inventory, world = self.inventory(), self.quick_world()
        sign_ins = SignIns(world, inventory.sign_in, VaultTime(self.clock, timedelta(0)), self.settings.mark)
        for user in inventory.users:
            sign_ins.sign_in(user)
        self.events.clear()

    def end_trouble(self) -> None:
        self.trouble.before = self.trouble.after = lambda _: None

    def _urls(self) -> tuple[str, str]:
        return self.settings.key_vault_url, self.settings.credentials_vault_url

    def tell(self, name: str, /, **fields: object) -> None:
        self.events.append((name, fields))

    def run(self, *names: str, budget: timedelta = timedelta(minutes=20), parallel: int = 1, **asks: Any) -> Report:
        """One run as a new process would do it."""
        return self._do(run, names, budget, parallel, asks)

    def refresh(self, *names: str, budget: timedelta = timedelta(minutes=8), parallel: int = 1, **asks: Any) -> Report:
        """One refresh of the tokens, as a new process would do it."""
        return self._do(refresh, names, budget, parallel, asks)

    def _do(
        self, what: Work, names: tuple[str, ...], budget: timedelta, parallel: int, asks: Mapping[str, Any]
    ) -> Report:
        request = Request(names=names or None, run_id=self.next_run_id(), **asks)
        world = self.quick_world(budget) if self.quick else self.world(budget)
        before = self.watch.emergency, self.watch.revoke_first
        self.watch.emergency, self.watch.revoke_first = request.emergency, request.revoke_first
        try:
            inventory = self.inventory()
            self.watch.begins()
            report = what(inventory, world, self.settings.mark, request, Threads(parallel))
        except PatrolError as failure:
            self.failures.append(str(failure))
            raise
        finally:
            self.watch.emergency, self.watch.revoke_first = before
        self.reports.append(report)
        if names == () and report.exit_code() == 0:
            self.watch.is_done()
        return report

    def next_run_id(self) -> str:
        """Of this lab's time, and later than the one before: ids of one machine's millisecond sort in any order."""
        return run_ids.new(self.clock.now() + timedelta(milliseconds=next(self.run_numbers)))

    def sonarqube(self) -> SonarQube:
        """A SonarQube server that `item(then=THEN)` pushes to; its setting holds nothing yet."""
        server = self.cloud.add_sonarqube("sonarqube.contoso.com")
        token = self.cloud.chance.remember("squ_" + self.cloud.chance.text(40))
        server.tokens[token] = True
        server.azure["contoso-azure"] = AzureSetting("contoso-azure", "https://dev.azure.com/contoso", "")
        self.cloud.vaults[CREDENTIALS_VAULT].seed("sonarqube-token", token, created=self.clock.now() - days(90))
        return server

    def wait(self, duration: timedelta) -> None:
        self.manual.move(duration)

    def later(self, duration: timedelta, **asks: Any) -> Report:
        self.wait(duration)
        return self.run(**asks)

    def current(self, secret: str) -> Version:
        """The version consumers read now."""
        return self.vault.secret(secret).latest

    def works(self, secret: str, organization: str = "contoso") -> bool:
        """Whether a consumer that reads the secret now can use its value."""
        version = self.current(secret)
        return version.enabled and self.cloud.pats.authenticate(organization, version.value) is not None

    def live(self, secret: str | None = None) -> list[Pat]:
        """Live PATs with our mark, of one secret or of all."""
        wanted = mark(secret or "", self.settings.vault_host, self.settings.deployment_name)
        pats = self.cloud.live_pats()
        return [pat for pat in pats if (pat.display_name == wanted if secret else pat.display_name.startswith(wanted))]

    def operations(self) -> list[str]:
        return [row.operation for row in self.cloud.calls() if row.operation != "vault.challenge"]

    def told(self, name: str) -> list[dict[str, object]]:
        return [fields for known, fields in self.events if known == name]


@cache
def _loaded(json_text: str, home: str) -> Inventory:
    """JSON is YAML, and quicker to write than to read: the same text is read once in a test process."""
    return pats_yaml.load(json_text, home)


def _enrolled(user: Mapping[str, Any]) -> dict[str, Any]:
    return {**{key: value for key, value in user.items() if key != "password_secret_name"}, "enrolled": True}


def item(secret: str = "build-pat", **more: Any) -> dict[str, Any]:
    return {"secret": secret, "scopes": ["vso.code"], **more}


def row(report: Report, secret: str = "build-pat", step: str | None = None) -> Row:
    """The first row of a secret; of one step where several did something."""
    return next(one for one in report.items if one.secret == secret and step in (None, one.step))


def outcomes(rows: Iterable[Row]) -> list[str]:
    return [f"{one.secret} {one.step} {one.outcome} {one.because}" for one in rows]
