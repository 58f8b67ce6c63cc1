"""The PAT lifecycle API as pure state: organizations, members, policies and five operations.

Shapes and limits: REST reference, Tokens / Pats 7.1 and 7.2 preview; what is unknown there is a switch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.cloud.chance import Chance
from sandbox.cloud.pat_paging import ListQuery, page_of
from sandbox.cloud.pat_values import (
    SCOPES,
    NoOrganization,
    Page,
    PatHttpRefused,
    PatRefused,
    is_guid,
    new_value,
    on_tick,
    read_instant,
    write_instant,
)
from sandbox.cloud.switches import Switches

DEFAULT_LIFE = timedelta(days=30)
GLOBAL_PATS_END = datetime(2026, 12, 1, tzinfo=UTC)
PERMISSIONS = {"read": "vso.pats", "manage": "vso.pats_manage"}


@dataclass(slots=True)
class Policies:
    """What an organization's or its tenant's administrators restrict; users in `allowed` (UPNs) are exempt."""

    max_lifetime: timedelta | None = None
    lifetime_form: str = "clamp"  # "clamp", or "refuse" with patLifespanPolicyViolation
    full_scope_restricted: bool = False
    global_restricted: bool = False
    creation_restricted: bool = False
    allowed: set[str] = field(default_factory=set)

    def exempt(self, upn: str) -> bool:
        return upn.lower() in {name.lower() for name in self.allowed}


@dataclass(slots=True)
class Organization:
    name: str
    guid: str
    members: set[str] = field(default_factory=set)  # UPNs, lower-case
    policies: Policies = field(default_factory=Policies)
    administrators: set[str] = field(default_factory=set)
    """UPNs, lower-case, that may see and revoke everybody's PATs."""


@dataclass(slots=True)
class Pat:
    """One PAT. `organization` is the guid of the organization it was made in, also when it is global."""

    authorization_id: str
    owner: str
    organization: str
    display_name: str
    scope: str
    valid_from: datetime
    valid_to: datetime
    all_orgs: bool
    value: str
    revoked: bool = False
    uses: int = 0
    refusals_left: int = 0
    revoked_from: datetime | None = None
    """From when an administrator's revocation holds."""

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`: the three the listing's filter knows."""
        if self.revoked or (self.revoked_from is not None and self.revoked_from <= now):
            return "revoked"
        return "expired" if self.valid_to <= now else "active"

    def wire(self, value: str | None = None) -> dict[str, object]:
        """The API's PatToken; only a creation passes the value on."""
        return {
            "displayName": self.display_name,
            "validTo": write_instant(self.valid_to),
            "scope": self.scope,
            "targetAccounts": None if self.all_orgs else [self.organization],
            "validFrom": write_instant(self.valid_from),
            "authorizationId": self.authorization_id,
            "token": value,
        }


class PatService:
    """All organizations and PATs. A caller is the UPN behind the bearer; it sees its own PATs of one organization."""

    def __init__(
        self, now: Callable[[], datetime], chance: Chance, switches: Switches, is_enabled: Callable[[str], bool]
    ) -> None:
        self._now = now
        self._chance = chance
        self._switches = switches
        self._is_enabled = is_enabled
        self._organizations: dict[str, Organization] = {}
        self._pats: dict[str, Pat] = {}
        self._owned: dict[tuple[str, str], list[Pat]] = {}
        self._by_value: dict[str, Pat] = {}

    # estate

    def add_organization(self, name: str, guid: str | None = None, members: set[str] | None = None) -> Organization:
        organization = Organization(name, guid or self._chance.guid(), {upn.lower() for upn in members or set()})
        self._organizations[name.lower()] = organization
        return organization

    def rename_organization(self, name: str, new_name: str) -> None:
        """The guid stays; the old name answers like an unknown one."""
        organization = self._organizations.pop(name.lower())
        organization.name = new_name
        self._organizations[new_name.lower()] = organization

    def organization(self, name: str) -> Organization:
        """By name, case-insensitive. Raises NoOrganization."""
        try:
            return self._organizations[name.lower()]
        except KeyError:
            raise NoOrganization(name) from None

    def organizations(self) -> list[Organization]:
        return list(self._organizations.values())

    def all(self) -> list[Pat]:
        """Every PAT of every user, whatever its state, in order of creation."""
        return list(self._pats.values())

    def pat(self, authorization_id: str) -> Pat:
        """Raises KeyError when unknown."""
        return self._pats[authorization_id.lower()]

    def seed(
        self,
        owner: str,
        organization: str,
        display_name: str,
        scope: str = "vso.code",
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        revoked: bool = False,
        all_orgs: bool = False,
        authorization_id: str | None = None,
        value: str | None = None,
    ) -> Pat:
        """Put a PAT of any age and state there, past all policies."""
        start = on_tick(valid_from or self._now())
        secret = self._chance.remember(value) if value is not None else new_value(self._chance)
        pat = Pat(
            (authorization_id or self._chance.guid()).lower(),
            owner.lower(),
            self.organization(organization).guid,
            display_name,
            scope,
            start,
            on_tick(valid_to or start + DEFAULT_LIFE),
            all_orgs,
            secret,
            revoked,
        )
        return self._keep(pat)

    def revoke_as_person(self, authorization_id: str) -> None:
        """Somebody ended it in the portal, or the leak scanner did. Raises KeyError when unknown."""
        self.pat(authorization_id).revoked = True

    # the five operations

    def create(self, upn: str, organization: str, body: dict[str, Any]) -> tuple[dict[str, object], Pat]:
        """Gives the wire object with its value. Raises PatRefused, PatHttpRefused, NoOrganization."""
        home = self.enter(upn, organization)
        exempt = home.policies.exempt(upn)
        if home.policies.creation_restricted and not exempt:
            raise PatRefused("disablePatCreationPolicyViolation")
        now = on_tick(self._now())
        name = self._judge_name(body.get("displayName"))
        scope = self._judge_scope(body.get("scope", "app_token"), home, exempt)
        self._judge_global(body.get("allOrgs"), home, exempt)
        asked = body.get("validTo")
        until = self._judge_end(now + DEFAULT_LIFE if asked is None else asked, now, now, home, exempt)
        value = new_value(self._chance)
        pat = Pat(
            self._chance.guid(),
            upn.lower(),
            home.guid,
            name,
            scope,
            now,
            until,
            bool(body.get("allOrgs")),
            value,
            refusals_left=self._switches.new_pat_refusals,
        )
        self._keep(pat)
        return pat.wire(value), pat

    def list_pats(self, upn: str, organization: str, query: ListQuery) -> Page:
        """One page of the caller's PATs of this organization. Raises PatHttpRefused, NoOrganization."""
        home = self.enter(upn, organization)
        owned = self._owned.get((upn.lower(), home.guid), [])
        return page_of(owned, query, self._now(), self._switches)

    def get(self, upn: str, organization: str, authorization_id: str) -> dict[str, object]:
        """Raises PatRefused, PatHttpRefused, NoOrganization."""
        pat = self._find(upn, organization, authorization_id, self._switches.unknown_get)
        if pat.revoked and self._switches.get_revoked != "returned":
            raise PatRefused(self._switches.get_revoked)
        return pat.wire()

    def update(self, upn: str, organization: str, body: dict[str, Any]) -> dict[str, object]:
        """Absent fields stay. Raises PatRefused, PatHttpRefused, NoOrganization."""
        home = self.enter(upn, organization)
        authorization_id = body.get("authorizationId")
        if authorization_id is None:
            raise PatRefused("invalidAuthorizationId")
        pat = self._find(upn, organization, authorization_id, self._switches.unknown_update)
        now = on_tick(self._now())
        exempt = home.policies.exempt(upn)
        if pat.revoked:
            raise PatRefused(self._switches.update_revoked)
        if pat.valid_to <= now and not self._switches.expired_can_be_extended:
            raise PatRefused("expiredPatCannotBeExtended")
        if home.policies.creation_restricted and not exempt:
            raise PatRefused("disablePatCreationPolicyViolation")
        name, scope, until, wide = pat.display_name, pat.scope, pat.valid_to, pat.all_orgs
        if body.get("displayName") is not None:
            name = self._judge_name(body["displayName"])
        if body.get("scope") is not None:
            scope = self._judge_scope(body["scope"], home, exempt)
        if body.get("allOrgs") is not None:
            self._judge_global(body["allOrgs"], home, exempt)
            wide = bool(body["allOrgs"])
        if body.get("validTo") is not None:
            until = self._judge_end(body["validTo"], pat.valid_from, now, home, exempt)
        pat.display_name, pat.scope, pat.valid_to, pat.all_orgs = name, scope, until, wide
        if not self._switches.update_keeps_secret:
            del self._by_value[pat.value]
            pat.value = new_value(self._chance)
            self._by_value[pat.value] = pat
        return pat.wire()

    def revoke(self, upn: str, organization: str, authorization_id: str) -> bool:
        """Whether this call ended it; False: ended before. Raises PatRefused, PatHttpRefused, NoOrganization."""
        unknown = self._switches.unknown_revoke
        if unknown == "204":
            self.enter(upn, organization)
            pat = self._pats.get(authorization_id.lower())
            if pat is None or pat.owner != upn.lower():
                return False
        pat = self._find(upn, organization, authorization_id, unknown)
        if pat.revoked:
            if self._switches.second_revoke == "404":
                raise _gone(authorization_id)
            return False
        pat.revoked = True
        return True

    # what an administrator may do with everybody's (Token Administration)

    def owned_by(self, administrator: str, organization: str, owner: str) -> list[Pat]:
        """Every PAT of a user in the organization, whatever its state. Raises PatHttpRefused, NoOrganization."""
        home = self.enter(administrator, organization)
        self._judge_administrator(administrator, home)
        return list(self._owned.get((owner.lower(), home.guid), []))

    def revoke_as_administrator(self, administrator: str, organization: str, ids: list[str]) -> None:
        """Ids that nobody knows are passed over. Raises PatHttpRefused, NoOrganization."""
        home = self.enter(administrator, organization)
        self._judge_administrator(administrator, home)
        holds = self._now() + timedelta(minutes=self._switches.admin_revocation_minutes)
        for authorization_id in ids:
            pat = self._pats.get(authorization_id.lower())
            if pat is not None and pat.organization == home.guid:
                pat.revoked_from = pat.revoked_from or holds

    def _judge_administrator(self, upn: str, home: Organization) -> None:
        if upn.lower() not in home.administrators:
            text = f"TF400813: The user '{upn}' is not authorized to access this resource."
            raise PatHttpRefused(401, "UnauthorizedRequestException", text)

    # use of a PAT

    def authenticate(self, organization: str, value: str) -> Pat | None:
        """The PAT behind `value`; None when revoked, expired, of another organization, or its user is out.

        Raises NoOrganization.
        """
        home = self.organization(organization)
        pat = self._by_value.get(value)
        now = self._now()
        if pat is None or pat.state(now) != "active" or pat.owner not in home.members:
            return None
        if pat.all_orgs and now >= GLOBAL_PATS_END:
            return None
        if not pat.all_orgs and pat.organization != home.guid:
            return None
        if not self._is_enabled(pat.owner):
            return None
        if pat.refusals_left > 0:
            pat.refusals_left -= 1
            return None
        pat.uses += 1
        return pat

    def is_live(self, value: str) -> bool:
        """Whether the value works somewhere right now, without counting as a use."""
        pat = self._by_value.get(value)
        return pat is not None and pat.state(self._now()) == "active" and self._is_enabled(pat.owner)

    def has_expired(self, value: str) -> bool:
        """Whether the value is one of a PAT that expired, and that nobody revoked."""
        pat = self._by_value.get(value)
        return pat is not None and pat.state(self._now()) == "expired"

    # judgement

    def _keep(self, pat: Pat) -> Pat:
        self._pats[pat.authorization_id] = pat
        self._by_value[pat.value] = pat
        self._owned.setdefault((pat.owner, pat.organization), []).append(pat)
        return pat

    def enter(self, upn: str, organization: str) -> Organization:
        home = self.organization(organization)
        if upn.lower() not in home.members:
            raise PatHttpRefused(
                401,
                "UnauthorizedRequestException",
                f"TF400813: The user '{upn}' is not authorized to access this resource.",
            )
        return home

    def _find(self, upn: str, organization: str, authorization_id: object, unknown: str) -> Pat:
        home = self.enter(upn, organization)
        if not is_guid(authorization_id):
            raise PatHttpRefused(400, "VssPropertyValidationException", "The authorizationId is not a guid.", 0)
        assert isinstance(authorization_id, str)
        pat = self._pats.get(authorization_id.lower())
        if pat is not None and pat.owner == upn.lower() and (pat.organization == home.guid or pat.all_orgs):
            return pat
        if unknown in ("404", "204"):
            raise _gone(authorization_id)
        raise PatRefused(unknown)

    def _judge_name(self, name: object) -> str:
        if name is None or name == "":
            raise PatRefused("displayNameRequired")
        if not isinstance(name, str) or not name.strip() or len(name) > self._switches.display_name_limit:
            raise PatRefused("invalidDisplayName")
        return name

    def _judge_scope(self, scope: object, home: Organization, exempt: bool) -> str:
        words = scope.split() if isinstance(scope, str) else []
        if not words or set(words) - SCOPES:
            raise PatRefused("invalidScope")
        if "app_token" in words and home.policies.full_scope_restricted and not exempt:
            raise PatRefused("fullScopePatPolicyViolation")
        return " ".join(sorted(words)) if self._switches.scope_echo == "sorted" else " ".join(words)

    def _judge_global(self, wide: object, home: Organization, exempt: bool) -> None:
        if not wide:
            return
        if self._switches.global_creation == "blocked" or self._now() >= GLOBAL_PATS_END:
            raise PatRefused("globalPATCreationBlocked")
        if home.policies.global_restricted and not exempt:
            raise PatRefused("globalPatPolicyViolation")

    def _judge_end(self, asked: object, created: datetime, now: datetime, home: Organization, exempt: bool) -> datetime:
        """The granted end. The lifespan policy counts from `created`, which is now for a new PAT."""
        try:
            until = on_tick(asked if isinstance(asked, datetime) else read_instant(asked))
        except (ValueError, OverflowError):
            raise PatRefused("invalidValidTo") from None
        if until <= now:
            raise PatRefused("invalidValidTo")
        longest, days = home.policies.max_lifetime, self._switches.longest_life_days
        if longest is None or exempt or until <= created + longest:
            if days is not None and until > now + timedelta(days=days):
                raise PatRefused("invalidValidTo")
            return until
        if home.policies.lifetime_form == "refuse":
            raise PatRefused("patLifespanPolicyViolation")
        return on_tick(created + longest)


def _gone(authorization_id: str) -> PatHttpRefused:
    return PatHttpRefused(404, "SessionTokenNotFoundException", f"No session token with id {authorization_id}.")
