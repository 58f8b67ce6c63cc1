"""What holds at every call of every test: the promises, checked at the ports by what the cloud knows, not by tags.

An invariant that is broken is noted and not raised: a run isolates what nobody expected, and would go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.cloud.cloud import Cloud
from sandbox.cloud.key_vault import Vault as CloudVault
from sandbox.cloud.key_vault import Version
from sandbox.cloud.pats import Pat as CloudPat
from shared.model.clock import whole_seconds
from shared.model.credentials import ClientProof, SignIn
from shared.model.enrollment import Redeemed, SignInPage
from shared.model.errors import Again, UserRefused
from shared.model.items import Item, User
from shared.model.pats import Pat, PatId
from shared.model.ports import Directory, EnrolledDirectory, OwnedPats, PatApi, Vault
from shared.model.secret_state import CONTENT_TYPE, VersionSeen
from shared.model.secret_text import SecretText
from shared.model.tags import Mark, read
from shared.model.vaults import HOME, VaultAddress
from tests.lab.copies import kept, pods


@dataclass(slots=True)
class Watch:
    """What is watched, and what was broken.

    `emergency`, `revoke_first`: what the running request asks for; `by_hand`: a person names a PAT on the command line,
    or a test calls a port by itself.
    """

    cloud: Cloud
    host: str
    mark: Mark
    items: Callable[[], tuple[Item, ...]]
    emergency: bool = False
    revoke_first: bool = False
    by_hand: bool = False
    broken: list[str] = field(default_factory=list)
    refused: set[tuple[str, ...]] = field(default_factory=set)
    since: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """When a run saw first that pats.yaml has an item in a vault, by name and host, until a whole one saw otherwise."""

    def begins(self) -> None:
        """A run has read pats.yaml."""
        for place in self._places():
            self.since.setdefault(place, self.cloud.now())

    def is_done(self) -> None:
        """It was a whole one, and has done all that it had to."""
        there = self._places()
        self.since = {place: since for place, since in self.since.items() if place in there}

    def _places(self) -> set[tuple[str, str]]:
        return {(item.key, item.vault.host or self.host) for item in self.items()}

    def vault(self, host: str) -> CloudVault:
        return self.cloud.vaults[host]

    def must(self, holds: bool, promise: str) -> None:
        if not holds and not self.by_hand:
            self.broken.append(promise)

    def item(self, name: str, host: str) -> Item | None:
        mine = (item for item in self.items() if (item.vault.host or self.host) == host)
        return next((item for item in mine if item.key == name.casefold()), None)

    def made_for(self, pat: CloudPat) -> tuple[str, str] | None:
        """The vault and the secret that a PAT of ours was minted for."""
        for host in self.cloud.vaults:
            mark = self.mark.in_vault(HOME if host == self.host else VaultAddress(host))
            if (name := mark.secret_of(pat.display_name)) is not None:
                return host, name
        return None

    def holder(self, value: str) -> CloudPat | None:
        """The PAT that this value is, by the cloud's own books."""
        return next((pat for pat in self.cloud.pats.all() if pat.value == value), None)

    def versions(self, name: str, host: str) -> list[Version]:
        try:
            return list(self.vault(host).secret(name).versions.values())
        except KeyError:
            return []

    def version(self, name: str, host: str, version: str) -> Version | None:
        return next((one for one in self.versions(name, host) if one.id == version), None)

    def ended(self, pat: CloudPat, *, administered: bool = False) -> None:
        """Promises 1 and 4: only ours ends, and no value that somebody may still read before its time.

        `administered`: by an administrator, who in an emergency ends what leaked although nothing takes its place.
        """
        self.must(self.emergency or not administered, "an administrator ended a PAT, and nobody said that it leaked")
        host, name = self.made_for(pat) or ("", "")
        item = self.item(name, host) if name else None
        adopted = any(one.adopt == pat.authorization_id for one in self.items())
        self.must(bool(name) or adopted, f"promise 4: a PAT without our mark was ended ({pat.display_name})")
        meant = administered or self.revoke_first
        if name and item is None and not meant:
            self._moved(pat, name, host)
        if name and not meant:
            self._used(pat, name, host)
        if item is None or item.decommission or meant or pat.state(self.cloud.now()) != "active":
            return
        versions = sorted(self.versions(item.secret, host), key=lambda one: one.created)
        holding = [number for number, version in enumerate(versions) if version.value == pat.value]
        if not holding:
            return
        if holding[-1] == len(versions) - 1:
            self.must(not versions[-1].enabled, f"promise 1: the published value of {name} was ended")
            return
        at_once = self.emergency or self._leaked(pat, versions)
        replaced = datetime.fromtimestamp(versions[holding[-1] + 1].created, UTC)
        # Key Vault's times have whole seconds.
        over = self.cloud.now() >= replaced + item.overlap - timedelta(seconds=1)
        self.must(over or at_once, f"promise 1: a predecessor of {name} was ended before its overlap was over")

    def _leaked(self, pat: CloudPat, versions: list[Version]) -> bool:
        """Whether an emergency that a run wrote down is about this PAT too: made before the second it was asked for."""
        stamps = [stamp for version in versions if (stamp := read(version.tags)) is not None]
        at_once = [one for stamp in stamps for one in stamp.predecessors if one.at_once]
        return any(whole_seconds(pat.valid_from) <= one.retire_at for one in at_once)

    def _moved(self, pat: CloudPat, name: str, host: str) -> None:
        """What is published in a vault that its item left ends when its value elsewhere was current for the overlap."""
        versions = sorted(self.versions(name, host), key=lambda one: one.created)
        if not versions or versions[-1].value != pat.value or pat.state(self.cloud.now()) != "active":
            return
        over = False
        for item in self.items():
            there = self.versions(item.secret, item.vault.host or self.host) if item.key == name else []
            lives = [
                one for one in there if (held := self.holder(one.value)) and held.state(self.cloud.now()) == "active"
            ]
            first = min((one.created for one in lives), default=None)
            began = self.since.get((name, item.vault.host or self.host))
            if first is not None:
                since = datetime.fromtimestamp(first, UTC)
                since = max(since, began or since) + item.overlap - timedelta(seconds=1)
                over = over or self.cloud.now() >= since or self._leaked(pat, there)
        self.must(over or self.emergency, f"promise 1: the value of {name} in a vault it left was ended too early")

    def _used(self, pat: CloudPat, name: str, host: str) -> None:
        """Promise 1: what a consumer has lives until it has something newer, whatever pats.yaml says of it now."""
        named = [item for item in self.items() if item.key == name]
        places = {host, *(item.vault.host or self.host for item in named)}
        versions = [one for place in places for one in self.versions(name, place)]
        at_once = self.emergency or any(item.decommission for item in named) or self._leaked(pat, versions)
        if at_once or pat.state(self.cloud.now()) != "active":
            return
        told = [item for item in named if not all(to.keeps_copy for to in item.then)]
        uses = [*kept(self.cloud), *(pods(self.cloud) if told else ())]
        self.must(pat.value not in uses, f"promise 1: what a consumer of {name} has was ended")


class WatchedVault:
    """A vault port whose writes are checked before they are made."""

    def __init__(self, vault: Vault, watch: Watch, host: str) -> None:
        self._vault = vault
        self._watch = watch
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vault, name)

    def publish(
        self,
        name: str,
        value: SecretText,
        expires_on: datetime,
        tags: Mapping[str, str],
        content_type: str = CONTENT_TYPE,
    ) -> VersionSeen:
        if content_type == CONTENT_TYPE:
            pat, stamp = self._watch.holder(value.reveal()), read(tags)
            lives = pat is not None and pat.state(self._watch.cloud.now()) == "active"
            names = pat is not None and stamp is not None and stamp.authorization_id == pat.authorization_id
            self._watch.must(lives, f"promise 1: a dead value was published in {name}")
            self._watch.must(names, f"rule 7: the tags of {name} name another PAT than its value is")
        return self._vault.publish(name, value, expires_on, tags, content_type)

    def change(
        self,
        name: str,
        version: VersionSeen,
        *,
        tags: Mapping[str, str] | None = None,
        expires_on: datetime | None = None,
    ) -> VersionSeen:
        there, stamp = self._watch.version(name, self._host, version.version), None if tags is None else read(tags)
        # What a person wrote there before is not patrol's to answer for.
        before = None if there is None else read(there.tags)
        changed = self._vault.change(name, version, tags=tags, expires_on=expires_on)
        if there is not None and stamp is not None:
            pat = self._watch.holder(there.value)
            held = pat is not None and stamp.authorization_id == pat.authorization_id
            kept = before is not None and before.authorization_id == stamp.authorization_id
            says = f"rule 7: facts of one PAT were written on the version of another in {name}"
            self._watch.must(held or kept, says)
        return changed

    def disable(self, name: str, version: str) -> None:
        versions, item = self._watch.versions(name, self._host), self._watch.item(name, self._host)
        decommissioned = item is None or item.decommission
        newest = bool(versions) and self._watch.vault(self._host).secret(name).latest.id == version
        self._watch.must(decommissioned or not newest, f"rule 7: the newest version of {name} was disabled")
        self._vault.disable(name, version)

    def note(self, name: str, tags: Mapping[str, str]) -> VersionSeen:
        if tags.get("state") == "released":
            self._watch.refused.clear()
        return self._vault.note(name, tags)


class WatchedOwned:
    """Somebody's PATs, whose ends are checked before they are made."""

    def __init__(self, api: OwnedPats, watch: Watch, *, administered: bool = True) -> None:
        self._api = api
        self._watch = watch
        self._administered = administered

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def revoke(self, organization: str, pat: PatId) -> None:
        there = next((one for one in self._watch.cloud.pats.all() if one.authorization_id == pat), None)
        if there is not None:
            self._watch.ended(there, administered=self._administered)
        self._api.revoke(organization, pat)


class WatchedPats(WatchedOwned):
    """The PAT API whose writes are checked before they are made."""

    _api: PatApi

    def __init__(self, api: PatApi, watch: Watch) -> None:
        super().__init__(api, watch, administered=False)

    def administering(self, username: str) -> OwnedPats:
        return WatchedOwned(self._api.administering(username), self._watch)

    def extend(self, organization: str, pat: PatId, display_name: str, scopes: tuple[str, ...], ends: datetime) -> Pat:
        there = next((one for one in self._watch.cloud.pats.all() if one.authorization_id == pat), None)
        ours = there is None or self._watch.mark.secret_of(there.display_name) is not None
        self._watch.must(ours, f"promise 4: a PAT without our mark was changed ({pat})")
        return self._api.extend(organization, pat, display_name, scopes, ends)


class WatchedDirectory:
    """Entra ID, to which no refused password is sent a second time (promise 6)."""

    def __init__(self, directory: Directory, watch: Watch) -> None:
        self._directory = directory
        self._watch = watch

    def sign_in(self, sign_in: SignIn, user: User, password: SecretText, proof: ClientProof) -> PatApi:
        facts = (user.key, sign_in.tenant, sign_in.client_id, proof.version, password.reveal())
        self._watch.must(facts not in self._watch.refused, f"promise 6: a refused password was sent again ({user.key})")
        try:
            return WatchedPats(self._directory.sign_in(sign_in, user, password, proof), self._watch)
        except UserRefused as refusal:
            if refusal.again is Again.NEVER:
                self._watch.refused.add(facts)
            raise


class WatchedEnrolled:
    """Entra ID, whose enrolled users' PATs are watched like everybody's."""

    def __init__(self, directory: EnrolledDirectory, watch: Watch) -> None:
        self._directory = directory
        self._watch = watch

    def redeem(self, sign_in: SignIn, user: User, refresh_token: SecretText, proof: ClientProof) -> Redeemed:
        redeemed = self._directory.redeem(sign_in, user, refresh_token, proof)
        return replace(redeemed, api=WatchedPats(redeemed.api, self._watch))

    def page(self, sign_in: SignIn, user: User, redirect_uri: str, proof: ClientProof) -> SignInPage:
        return self._directory.page(sign_in, user, redirect_uri, proof)

    def finish(
        self, sign_in: SignIn, user: User, page: SignInPage, answer: Mapping[str, str], proof: ClientProof
    ) -> Redeemed:
        return self._directory.finish(sign_in, user, page, answer, proof)
