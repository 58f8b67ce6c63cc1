"""The engine's ports over the sandbox's state, without HTTP: some hundred times faster than the adapters.

tests/test_contract.py holds fakes and adapters to the same behaviour.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import TypeVar

from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra import AZURE_DEVOPS, Proof, Token
from sandbox.cloud.entra_refusals import EntraRefused
from sandbox.cloud.key_vault import VaultRefused, Version
from sandbox.cloud.pat_paging import ListQuery
from sandbox.cloud.pat_values import NoOrganization, PatHttpRefused, PatRefused, write_instant
from sandbox.cloud.pats import Pat as SandboxPat
from shared.model.clock import Clock, Deadline, Moment, VaultInstant, whole_seconds
from shared.model.credentials import ClientProof, Credential, SignIn
from shared.model.enrollment import Link, Person, Redeemed, SignInPage
from shared.model.errors import (
    Absent,
    Busy,
    ClientRefused,
    Code,
    Denied,
    Misconfigured,
    NotDone,
    PatrolError,
    Refused,
    Unclear,
    UserRefused,
)
from shared.model.items import TokenItem, User
from shared.model.pats import Claim, Minted, Pat, PatId, ServiceToken, Validity
from shared.model.ports import OwnedPats, PatApi
from shared.model.secret_state import CONTENT_TYPE, Current, Look, SecretSeen, VaultListing, VersionListing, VersionSeen
from shared.model.secret_text import SecretText
from shared.model.single_flight import Turn, ask_until, held_elsewhere
from shared.model.tags import refuse_another_pat
from shared.report.brief import Brief
from shared.report.kept_run import KeptRun, MessageDone, part_json, put_together, read_part, read_run, run_json
from shared.report.order import Order, order_json, read_order
from shared.report.told import Memory, memory_json, read_memory
from shared.services import answers, enrollment_errors, kept_text, pat_token_errors
from shared.services.entra_errors import Concerns, Refusal, refusal

Answer = TypeVar("Answer")


def passed(now: datetime) -> timedelta:
    """What a clock shows that nobody sets, while the lab's shows `now`."""
    return now - datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Trouble:
    """What goes wrong at the ports: asked before and after the effect of each call, by the port's operation name."""

    before: Callable[[str], PatrolError | None] = lambda _: None
    after: Callable[[str], PatrolError | None] = lambda _: None

    def around(self, operation: str, effect: Callable[[], Answer]) -> Answer:
        if (failure := self.before(operation)) is not None:
            raise failure
        answer = effect()
        if (failure := self.after(operation)) is not None:
            raise failure
        return answer


class FakeVault:
    """`ports.Vault` and `ports.Credentials` over one of the cloud's vaults."""

    def __init__(self, cloud: Cloud, host: str, trouble: Trouble) -> None:
        self._vault = cloud.vaults[host]
        self._cloud = cloud
        self._trouble = trouble

    def listing(self) -> VaultListing:
        def effect() -> VaultListing:
            self._vault.list_secrets(1)  # judges whether the caller may
            rows = {secret.name.casefold(): _listed(secret.name, secret.latest) for secret in self._vault.secrets()}
            return VaultListing(rows)

        try:
            return self._do("vault.list", effect)
        except PatrolError as failure:
            code = Code.VAULT_FORBIDDEN if isinstance(failure, Denied) else Code.VAULT_UNREACHABLE
            raise Misconfigured(code, failure.cause, failure.remedy) from None

    def look(self, name: str) -> Look:
        def effect() -> Look:
            try:
                latest = self._vault.secret(name).latest
            except KeyError:
                return Look(None)
            return Look(replace(_listed(name, latest), version=latest.id))

        return self._do("vault.get", effect)

    def current(self, name: str) -> Current:
        def effect() -> Current:
            value = str(self._vault.get(name)["value"])
            return Current(
                _version(self._vault.secret(name).latest), SecretText(value), VaultInstant(self._cloud.now())
            )

        return self._do("vault.get", effect)

    def versions(self, name: str) -> VersionListing:
        def effect() -> VersionListing:
            at = VaultInstant(self._cloud.now())
            try:
                return VersionListing(tuple(map(_version, self._vault.secret(name).versions.values())), at)
            except KeyError:
                return VersionListing((), at)

        return self._do("vault.versions", effect)

    def publish(
        self,
        name: str,
        value: SecretText,
        expires_on: datetime,
        tags: Mapping[str, str],
        content_type: str = CONTENT_TYPE,
    ) -> VersionSeen:
        def effect() -> VersionSeen:
            ends = int(expires_on.timestamp())
            self._vault.set_secret(name, value.reveal(), tags=tags, content_type=content_type, expires=ends)
            return _version(self._vault.secret(name).latest)

        try:
            return self._do("vault.set", effect)
        except Denied as failure:
            raise Denied(Code.PUBLISH_FORBIDDEN, failure.cause, failure.remedy, failure.word) from None
        except Refused as failure:
            code = failure.code if failure.code is Code.SECRET_DELETED else Code.PUBLISH_REFUSED
            raise Refused(code, failure.cause, failure.remedy, failure.word) from None
        except Unclear as failure:
            raise Unclear(Code.PUBLISH_UNCLEAR, failure.cause, failure.remedy) from None

    def note(self, name: str, tags: Mapping[str, str]) -> VersionSeen:
        def effect() -> VersionSeen:
            self._vault.set_secret(name, "see the tags", tags=tags, content_type="text/plain")
            return _version(self._vault.secret(name).latest)

        return self._do("vault.set", effect)

    def change(
        self,
        name: str,
        version: VersionSeen,
        *,
        tags: Mapping[str, str] | None = None,
        expires_on: datetime | None = None,
    ) -> VersionSeen:
        if tags is not None:
            refuse_another_pat(version.tags, tags)
        attributes = {"exp": None if expires_on is None else int(expires_on.timestamp())}
        update = {"tags": tags, "attributes": attributes}
        self._do("vault.update", lambda: self._vault.update(name, version.version, update))
        written = version.tags if tags is None else dict(tags)
        return replace(version, tags=written, expires_on=expires_on or version.expires_on)

    def disable(self, name: str, version: str) -> None:
        self._do("vault.update", lambda: self._vault.update(name, version, {"attributes": {"enabled": False}}))

    def is_deleted(self, name: str) -> bool:
        gone = {secret.name.casefold() for secret in self._vault.deleted_secrets()}
        return self._do("vault.deleted", lambda: name.casefold() in gone)

    def recover(self, name: str) -> None:
        self._do("vault.recover", lambda: self._vault.recover(name))
        self._vault.settle()

    def read(self, name: str) -> Credential:
        held = self.read_certificate(name)
        if problem := kept_text.why_not_text(held.value, held.content_type):
            raise NotDone(Code.CREDENTIAL_UNREADABLE, problem.what, problem.remedy)
        return held

    def read_version(self, name: str, version: str) -> Credential:
        def effect() -> Credential:
            value = str(self._vault.get(name, version)["value"])
            seen = self._vault.secret(name).versions[version]
            return Credential(SecretText(value), seen.id, _instant(seen.expires), seen.content_type or "")

        return self._do("vault.get", effect)

    def read_certificate(self, name: str) -> Credential:
        def effect() -> Credential:
            value = str(self._vault.get(name)["value"])
            latest = self._vault.secret(name).latest
            return Credential(SecretText(value), latest.id, _instant(latest.expires), latest.content_type or "")

        return self._do("vault.get", effect)

    def _do(self, operation: str, effect: Callable[[], Answer]) -> Answer:
        try:
            return self._trouble.around(operation, effect)
        except VaultRefused as refused:
            word = refused.inner or refused.code
            told = f"HTTP {refused.status} {word}"
            if word == "SecretDisabled":
                raise Denied(Code.DISABLED, told, "-", word) from None
            if word in ("ObjectIsBeingRecovered", "ObjectIsBeingDeleted"):
                raise Busy(Code.VAULT_UNREACHABLE, told, "-") from None
            if refused.status == 403 and word != "ForbiddenByPolicy":
                raise Denied(Code.VAULT_FORBIDDEN, told, "-", word) from None
            if refused.status == 404:
                raise Absent(Code.VAULT_REFUSED, told, "-") from None
            if refused.status == 429:
                raise Busy(Code.VAULT_UNREACHABLE, told, "-") from None
            code = Code.SECRET_DELETED if refused.status == 409 else Code.VAULT_REFUSED
            raise Refused(code, told, "-", word) from None


class FakePats:
    """`ports.PatApi` as one technical user."""

    def __init__(self, cloud: Cloud, username: str, trouble: Trouble) -> None:
        self._cloud = cloud
        self._username = username
        self._trouble = trouble

    def active(self, organization: str) -> tuple[Pat, ...]:
        return self.do("pats.list", lambda: self._mine(organization, "active"))

    def by_state(self, organization: str, state: str) -> tuple[Pat, ...]:
        return self.do("pats.list", lambda: self._mine(organization, state))

    def revoked(self, organization: str) -> frozenset[PatId]:
        return self.do("pats.list", lambda: frozenset(pat.id for pat in self._mine(organization, "revoked")))

    def get(self, organization: str, pat: PatId) -> Pat:
        def effect() -> Pat:
            self._cloud.pats.get(self._username, organization, pat)
            return _pat(self._cloud.pats.pat(pat))

        return self.do("pats.get", effect)

    def mint(self, organization: str, display_name: str, scopes: tuple[str, ...], ends: datetime) -> Minted:
        sent = Moment(self._cloud.now(), passed(self._cloud.now()))

        def effect() -> Minted:
            body = {
                "displayName": display_name,
                "scope": " ".join(scopes),
                "validTo": write_instant(whole_seconds(ends)),
                "allOrgs": False,
            }
            _, made = self._cloud.pats.create(self._username, organization, body)
            return Minted(_pat(made), SecretText(made.value), sent)

        try:
            return self.do("pats.create", effect)
        except Unclear as doubt:
            raise Unclear(Code.MINT_UNCLEAR, doubt.cause, doubt.remedy) from None
        except (Refused, Absent) as refused:
            raise Refused(Code.MINT_REFUSED, refused.cause, refused.remedy, getattr(refused, "word", "")) from None

    def extend(self, organization: str, pat: PatId, display_name: str, scopes: tuple[str, ...], ends: datetime) -> Pat:
        def effect() -> Pat:
            body = {
                "authorizationId": pat,
                "displayName": display_name,
                "scope": " ".join(scopes),
                "validTo": write_instant(whole_seconds(ends)),
                "allOrgs": False,
            }
            self._cloud.pats.update(self._username, organization, body)
            return _pat(self._cloud.pats.pat(pat))

        return self.do("pats.update", effect)

    def revoke(self, organization: str, pat: PatId) -> None:
        try:
            self.do("pats.revoke", lambda: self._cloud.pats.revoke(self._username, organization, pat))
        except Absent:
            return
        except Unclear as doubt:
            raise Unclear(Code.REVOKE_UNCLEAR, doubt.cause, doubt.remedy) from None

    def administering(self, username: str) -> OwnedPats:
        return FakeAdministered(self._cloud, self._username, username, self)

    def _mine(self, organization: str, state: str) -> tuple[Pat, ...]:
        # Judges whether the caller may, and reads past its pages.
        self._cloud.pats.list_pats(self._username, organization, ListQuery(filter=state, top="1"))
        home = self._cloud.pats.organization(organization)
        now = self._cloud.now()
        return tuple(
            _pat(pat)
            for pat in self._cloud.pats.all()
            if pat.owner == self._username.lower()
            and pat.organization == home.guid
            and state in (pat.state(now), "all")
        )

    def do(self, operation: str, effect: Callable[[], Answer]) -> Answer:
        try:
            return self._trouble.around(operation, effect)
        except PatRefused as refused:
            if refused.error in pat_token_errors.GONE:
                raise Absent(Code.PAT_UNKNOWN, refused.error, pat_token_errors.remedy(refused.error)) from None
            remedy = pat_token_errors.remedy(refused.error)
            raise Refused(Code.DEVOPS_REFUSED, refused.error, remedy, refused.error) from None
        except PatHttpRefused as refused:
            if refused.type_key == "SessionTokenNotFoundException":
                raise Absent(Code.PAT_UNKNOWN, refused.type_key, "-") from None
            raise Denied(Code.ORGANIZATION_DENIED, refused.type_key, "-") from None
        except NoOrganization:
            raise Unclear(Code.ORGANIZATION_UNKNOWN, "HTTP 404", "-") from None


@dataclass(frozen=True, slots=True)
class FakeAdministered:
    """`ports.OwnedPats` of somebody else."""

    cloud: Cloud
    administrator: str
    username: str
    own: FakePats

    def active(self, organization: str) -> tuple[Pat, ...]:
        return tuple(_pat(pat) for pat in self._all(organization) if self._lives(pat))

    def revoked(self, organization: str) -> frozenset[PatId]:
        return frozenset(PatId(pat.authorization_id) for pat in self._all(organization) if not self._lives(pat))

    def get(self, organization: str, pat: PatId) -> Pat:
        found = next((one for one in self._all(organization) if one.authorization_id == pat), None)
        if found is None:
            raise Unclear(Code.DEVOPS_UNCLEAR, "not listed", "-")
        if not self._lives(found):
            raise Absent(Code.PAT_UNKNOWN, "not valid", "-")
        return _pat(found)

    def revoke(self, organization: str, pat: PatId) -> None:
        end = partial(self.cloud.pats.revoke_as_administrator, self.administrator, organization, [str(pat)])
        self.own.do("tokenadmin.revoke", end)

    def _all(self, organization: str) -> list[SandboxPat]:
        asked = (self.administrator, organization, self.username)
        return self.own.do("tokenadmin.list", lambda: self.cloud.pats.owned_by(*asked))

    def _lives(self, pat: SandboxPat) -> bool:
        return pat.state(self.cloud.now()) == "active" and pat.revoked_from is None


class FakeVerifier:
    def __init__(self, cloud: Cloud, trouble: Trouble) -> None:
        self._cloud = cloud
        self._trouble = trouble

    def verify(self, claim: Claim, value: SecretText) -> None:
        def effect() -> SandboxPat | None:
            return self._cloud.pats.authenticate(claim.organization, value.reveal())

        pat = self._trouble.around("devops.connection_data", effect)
        if pat is None or pat.owner != claim.username.lower():
            raise Denied(Code.ORGANIZATION_DENIED, "HTTP 401", "-")

    def verify_token(self, item: TokenItem, token: ServiceToken) -> None:
        def effect() -> str | None:
            bearer = self._cloud.directory.bearer(token.value.reveal(), AZURE_DEVOPS)
            home = self._cloud.pats.organization(item.organization)
            return None if bearer is None or bearer.subject not in home.members else bearer.subject

        try:
            subject = self._trouble.around("devops.connection_data", effect)
        except NoOrganization:
            raise Unclear(Code.ORGANIZATION_UNKNOWN, "HTTP 404", "-") from None
        if subject is None:
            raise Denied(Code.ORGANIZATION_DENIED, "HTTP 401", "-")
        if subject != item.client_id.lower():
            raise Denied(Code.VERIFY_FAILED, "somebody else", "-")


class FakeTokens:
    """`ports.ServiceTokens`, for client secrets."""

    def __init__(self, cloud: Cloud, trouble: Trouble) -> None:
        self._cloud = cloud
        self._trouble = trouble

    def issue(self, tenant: str, client_id: str, proof: ClientProof) -> ServiceToken:
        assert isinstance(proof.means, SecretText)
        secret = proof.means.reveal()

        def effect() -> ServiceToken:
            scope = f"{AZURE_DEVOPS}/.default"
            value, ends = self._cloud.directory.client_token(tenant, client_id, secret, scope)
            object_id = self._cloud.directory.apps[client_id.lower()].object_id
            return ServiceToken(SecretText(value), ends - self._cloud.now(), object_id)

        try:
            return self._trouble.around("entra.token", effect)
        except EntraRefused as refused:
            if refused.code == 90002:
                raise Misconfigured(Code.TENANT_UNKNOWN, refused.text, "-") from None
            raise Refused(Code.PRINCIPAL_REFUSED, refused.text, "-", f"AADSTS{refused.code}") from None


class FakeDirectory:
    def __init__(self, cloud: Cloud, trouble: Trouble) -> None:
        self._cloud = cloud
        self._trouble = trouble

    def sign_in(self, sign_in: SignIn, user: User, password: SecretText, proof: ClientProof) -> PatApi:
        scope = "499b84ac-1321-427f-aa17-267ca6975798/.default"
        secret, assertion = _shown(proof)

        def effect() -> PatApi:
            asked = (sign_in.tenant, sign_in.client_id, secret, user.username, password.reveal())
            self._cloud.directory.sign_in(*asked, scope, assertion=assertion)
            return FakePats(self._cloud, user.username, self._trouble)

        try:
            return self._trouble.around("entra.token", effect)
        except EntraRefused as refused:
            why = refusal(refused.error, [refused.code])
            word = f"AADSTS{refused.code}"
            if why.concerns is Concerns.USER:
                raise UserRefused(why.cause, why.remedy_of(user.credential_name), word, why.again) from None
            raise _not_the_users(why) from None


class FakeLinks:
    """`ports.Links` in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Link] = {}

    def keep(self, link: Link) -> None:
        self.kept[link.page.state] = link

    def look(self, ticket: str) -> Link | None:
        return self.kept.get(ticket)

    def take(self, ticket: str) -> Link | None:
        return self.kept.pop(ticket, None)


class FakeEnrolled:
    """`ports.EnrolledDirectory` over the cloud's Entra ID."""

    def __init__(self, cloud: Cloud, trouble: Trouble) -> None:
        self._cloud = cloud
        self._trouble = trouble

    def redeem(self, sign_in: SignIn, user: User, refresh_token: SecretText, proof: ClientProof) -> Redeemed:
        secret, assertion = _shown(proof)
        asked = (sign_in.tenant, sign_in.client_id, secret, refresh_token.reveal(), _EVERYTHING)
        return self._redeemed(user, lambda: self._cloud.directory.refresh(*asked, assertion=assertion))

    def page(self, sign_in: SignIn, user: User, redirect_uri: str, proof: ClientProof) -> SignInPage:
        asked = {"client_id": sign_in.client_id, "redirect_uri": redirect_uri, "scope": _EVERYTHING, "state": "s"}
        return SignInPage("https://login.microsoftonline.com/", "s", SecretText(json.dumps(asked)))

    def finish(
        self, sign_in: SignIn, user: User, page: SignInPage, answer: Mapping[str, str], proof: ClientProof
    ) -> Redeemed:
        secret, assertion = _shown(proof)
        form = {**json.loads(page.kept.reveal()), **answer}
        client = Proof(sign_in.client_id, secret, assertion)
        return self._redeemed(user, lambda: self._cloud.in_person.redeem_code(sign_in.tenant, client, form))

    def _redeemed(self, user: User, effect: Callable[[], Token]) -> Redeemed:
        try:
            token = self._trouble.around("entra.token", effect)
        except EntraRefused as refused:
            said = answers.entra(answers.Answer(refused.status, {}, json.dumps(_body(refused)).encode()))
            assert said is not None
            why = refusal(refused.error, [refused.code])
            if why.concerns is Concerns.USER:
                raise enrollment_errors.ended(user, said, why) from None
            raise _not_the_users(why) from None
        known = self._cloud.directory.user_of(token.user_id)
        api = FakePats(self._cloud, user.username, self._trouble)
        granted = frozenset(word.rpartition("/")[2] for word in token.scope.split())
        return Redeemed(api, SecretText(token.refresh_token), Person(known.upn, known.object_id), granted)


_EVERYTHING = f"{AZURE_DEVOPS}/.default offline_access openid profile"


def _body(refused: EntraRefused) -> dict[str, object]:
    text = f"AADSTS{refused.code}: {refused.text}"
    return {"error": refused.error, "error_codes": [refused.code], "error_description": text}


def _shown(proof: ClientProof) -> tuple[str | None, str | None]:
    """A secret or an assertion."""
    secret = proof.means.reveal() if isinstance(proof.means, SecretText) else None
    return secret, proof.means().reveal() if callable(proof.means) else None


def _not_the_users(why: Refusal) -> PatrolError:
    if why.concerns is Concerns.NOBODY:
        return Busy(Code.SIGN_IN_UNAVAILABLE, why.cause, why.remedy)
    code = Code.TENANT_UNKNOWN if why.concerns is Concerns.TENANT else Code.CLIENT_REFUSED
    return ClientRefused(code, why.cause, why.remedy)


def _pat(pat: SandboxPat) -> Pat:
    return Pat(
        id=PatId(pat.authorization_id),
        display_name=pat.display_name,
        scopes=frozenset(pat.scope.split()),
        validity=Validity(whole_seconds(pat.valid_from), whole_seconds(pat.valid_to)),
        organization_id=None if pat.all_orgs else pat.organization,
    )


def _listed(name: str, version: Version) -> SecretSeen:
    return SecretSeen(
        name=name,
        enabled=version.enabled,
        created=datetime.fromtimestamp(version.created, UTC),
        expires_on=_instant(version.expires),
        content_type=version.content_type,
        tags=dict(version.tags),
    )


def _version(version: Version) -> VersionSeen:
    created = datetime.fromtimestamp(version.created, UTC)
    ends = _instant(version.expires)
    return VersionSeen(version.id, version.enabled, created, ends, dict(version.tags), version.content_type)


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


@dataclass(slots=True)
class Place:
    """One item in the storage: who has its turn, since when and until when, and when it was last worked on.

    `ends` is None while its runner lives and renews.
    """

    runner: FakeFlight | None = None
    since: datetime | None = None
    ends: datetime | None = None
    worked: datetime | None = None


@dataclass(slots=True, eq=False)
class Storage:
    """What all runners share; `down`: it gives no answer, and everybody goes on without turns."""

    places: dict[str, Place] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    down: bool = False


@dataclass(slots=True, eq=False)
class FakeFlight:
    """`ports.SingleFlight` of one runner over a storage in memory, on the world's clock."""

    storage: Storage
    clock: Clock
    holder: str = "a runner"
    lease: timedelta = timedelta(seconds=60)
    crashed: bool = False

    @contextmanager
    def take(self, secret: str, until: Deadline) -> Iterator[Turn]:
        key = secret.casefold()
        waited = False

        def ask() -> Turn | None:
            nonlocal waited
            turn = self._ask(key, waited)
            waited = True
            return turn

        turn = ask_until(self.clock, until, ask)
        if turn is None:
            place = self.storage.places[key]
            since = place.since.strftime("%Y-%m-%dT%H:%M:%SZ") if place.since else None
            raise held_elsewhere(place.runner.holder if place.runner else None, since)
        try:
            yield turn
        finally:
            with self.storage.lock:
                place = self.storage.places.get(key, Place())
                if place.runner is self and not self.crashed:
                    place.runner = place.since = None

    def held(self, secret: str) -> AbstractContextManager[Turn]:
        """A turn that is taken without waiting."""
        return self.take(secret, Deadline.after(self.clock, timedelta(0)))

    def crash(self) -> None:
        """From now on nothing is renewed or given back."""
        self.crashed = True
        for place in self.storage.places.values():
            if place.runner is self:
                place.ends = self.clock.now() + self.lease

    def _ask(self, key: str, waited: bool) -> Turn | None:
        with self.storage.lock:
            now = self.clock.now()
            if self.storage.down:
                return FakeTurn(None, self.clock, timedelta(0))
            place = self.storage.places.setdefault(key, Place())
            if place.runner is not None and (place.ends is None or now < place.ends):
                return None
            place.runner, place.since, place.ends = self, now, None
            idle = None if place.worked is None else max(timedelta(0), now - place.worked - timedelta(seconds=1))
            return FakeTurn(place, self.clock, timedelta(0) if waited else idle)


@dataclass(slots=True)
class FakeHistory:
    """`history.History` in memory, as text, as a storage has it; `down`: it gives no answer."""

    clock: Clock
    heads: dict[str, str] = field(default_factory=dict)
    orders: dict[str, list[str]] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    seen: dict[str, datetime] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    down: bool = False

    def keep(self, run: KeptRun, orders: Sequence[Order] = ()) -> bool:
        if not self.down:
            self.heads[run.run_id] = json.dumps(run_json(run))
            if orders:
                self.orders[run.run_id] = [json.dumps(order_json(order)) for order in orders]
        return not self.down

    def order(self, run_id: str, part: int) -> Order | None:
        self._answer()
        lines = self.orders.get(run_id, [])
        try:
            return read_order(json.loads(lines[part - 1])) if part <= len(lines) else None
        except (KeyError, TypeError, ValueError):
            raise NotDone(Code.REPORT_UNREADABLE, "not readable", "-") from None

    def add(self, run_id: str, part: MessageDone, of: int) -> bool:
        if self.down:
            return False
        with self.lock:
            mine = self.parts.setdefault(run_id, [])
            mine.append(json.dumps(part_json(part)))
            return part.final and sum(json.loads(one)["final"] for one in mine) >= of

    def read(self, run_id: str) -> KeptRun | None:
        self._answer()
        if run_id not in self.heads:
            return None
        try:
            head = read_run(json.loads(self.heads[run_id]))
            parts = [read_part(json.loads(one)) for one in self.parts.get(run_id, [])]
        except (KeyError, TypeError, ValueError):
            raise NotDone(Code.REPORT_UNREADABLE, "not readable", "-") from None
        return put_together(head, parts, self.clock.now())

    def latest(self, most: int, *, settled: bool = True) -> tuple[Brief, ...]:
        self._answer()
        newest = sorted(self.heads, reverse=True)[:most]
        return tuple(Brief.of(self._settled(run_id) if settled else self._head(run_id)) for run_id in newest)

    def looked(self, user: User) -> None:
        if not self.down:
            self.seen[user.digest] = self.clock.now()

    def looks(self) -> Mapping[str, datetime]:
        return {} if self.down else dict(self.seen)

    def _head(self, run_id: str) -> KeptRun:
        return read_run(json.loads(self.heads[run_id]))

    def _settled(self, run_id: str) -> KeptRun:
        try:
            return self.read(run_id) or self._head(run_id)
        except NotDone:
            return self._head(run_id)

    def _answer(self) -> None:
        if self.down:
            raise Unclear(Code.REPORT_UNREADABLE, "gave no answer", "-")


@dataclass(slots=True)
class FakeTold:
    """`told.ToldBefore` in memory, as text, as a storage has it; `down`: it gives no answer.

    `between`: what another run does between reading and writing, once.
    """

    text: str = ""
    writes: int = 0
    down: bool = False
    between: Callable[[], None] | None = None
    lock: Lock = field(default_factory=Lock)

    def read(self) -> tuple[Memory, str]:
        self._answer()
        with self.lock:
            return (read_memory(json.loads(self.text)) if self.text else Memory()), str(self.writes)

    def write(self, memory: Memory, read_as: str) -> bool:
        self._answer()
        first, self.between = self.between, None
        if first is not None:
            first()
        with self.lock:
            if read_as != str(self.writes):
                return False
            self.text, self.writes = json.dumps(memory_json(memory)), self.writes + 1
        return True

    def _answer(self) -> None:
        if self.down:
            raise Unclear(Code.NOTICES_UNKEPT, "gave no answer", "-")


@dataclass(slots=True)
class FakeTurn:
    place: Place | None
    clock: Clock
    idle_for: timedelta | None

    def idle(self) -> timedelta | None:
        return self.idle_for

    def worked(self) -> None:
        if self.place is not None:
            self.place.worked = self.clock.now()
