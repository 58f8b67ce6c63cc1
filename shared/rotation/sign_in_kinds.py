"""How a technical user signs in: with a password, or by what a person's enrollment left (rule 16).

The one room that knows the kinds. What signs in goes out through sign_in.py alone, whose ledger guards both alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from shared.model.clock import Clock, instant
from shared.model.credentials import ClientProof, Credential, SignIn
from shared.model.enrollment import Kept, Person, Redeemed
from shared.model.errors import Absent, Again, Code, NotDone, PatrolError, UserRefused
from shared.model.items import User
from shared.model.ports import PatApi
from shared.model.secret_state import VersionSeen
from shared.model.secret_text import SecretText
from shared.model.steps import Because
from shared.model.tags import Mark
from shared.rotation.world import World
from shared.rules import enrollment

PASSWORD: Final = "The password"


class Means(Protocol):
    """What signs one user in once. `name`: the secret that holds it; `version` tells it from a refused one."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def expires_on(self) -> datetime | None: ...
    @property
    def what(self) -> str:
        """What goes out, at the beginning of a sentence."""
        ...

    @property
    def because(self) -> Because: ...
    def ending(self, ends: datetime) -> str:
        """What a person is told of an end that is near."""
        ...

    def sign_in(self, proof: ClientProof) -> SignedInBy:
        """Raises as the directory does."""
        ...


@dataclass(frozen=True, slots=True)
class SignedInBy:
    """`ends`: when what signed in will not any more, as far as that is known now."""

    api: PatApi
    ends: datetime | None


@dataclass(frozen=True, slots=True)
class SignInKinds:
    """`clock` shows vault time."""

    world: World
    clock: Clock
    mark: Mark

    def of(self, user: User, sign_in: SignIn) -> Means:
        """Raises NotDone (`Code.CREDENTIAL_UNREADABLE`, `Code.ENROLLMENT_NEEDED`), and what reading a vault raises."""
        return self._enrollment(user, sign_in) if user.enrolled else self._password(user, sign_in)

    def _password(self, user: User, sign_in: SignIn) -> Means:
        try:
            held = self.world.credentials.read(user.credential_name)
        except Absent as failure:
            raise NotDone(Code.CREDENTIAL_UNREADABLE, failure.cause, failure.remedy) from None
        return _Password(self, user, sign_in, held)

    def _enrollment(self, user: User, sign_in: SignIn) -> Means:
        versions = self.world.refresh_tokens.versions(user.credential_name).versions
        kept = enrollment.kept(versions, sign_in)
        if not kept:
            self.world.tell("user.blocked", username=user.username, code=Code.ENROLLMENT_NEEDED, next_try=None)
            raise needed(user.username)
        return _Enrollment(self, user, sign_in, kept, {one.version: one for one in versions})


def needed(username: str) -> NotDone:
    """The failure of a user whom nobody has enrolled yet."""
    return NotDone(
        Code.ENROLLMENT_NEEDED,
        f"{username} signs in without a password, and nobody has enrolled it yet.",
        f"Enroll it: `patrol enroll {username}`, which leads to a page to sign in at as that user.",
    )


@dataclass(frozen=True, slots=True)
class _Password:
    kinds: SignInKinds
    user: User
    to: SignIn
    held: Credential
    what: str = PASSWORD
    because: Because = Because.CREDENTIAL_NEAR_EXPIRY

    @property
    def name(self) -> str:
        return self.user.credential_name

    @property
    def version(self) -> str:
        return self.held.version

    @property
    def expires_on(self) -> datetime | None:
        return self.held.expires_on

    def ending(self, ends: datetime) -> str:
        return credential_ending(self.name, ends)

    def sign_in(self, proof: ClientProof) -> SignedInBy:
        api = self.kinds.world.directory.sign_in(self.to, self.user, self.held.value, proof)
        return SignedInBy(api, self.expires_on)


def credential_ending(name: str, ends: datetime) -> str:
    return f"{name}: this credential expires at {instant(ends)}; replace it before patrol can no longer sign in."


@dataclass(frozen=True, slots=True)
class _Enrollment:
    """`kept` newest first, never empty."""

    kinds: SignInKinds
    user: User
    to: SignIn
    kept: tuple[Kept, ...]
    seen: dict[str, VersionSeen]
    what: str = "The refresh token of the enrollment"
    because: Because = Because.ENROLLMENT_NEAR_END

    @property
    def name(self) -> str:
        return self.user.credential_name

    @property
    def version(self) -> str:
        # The enrollment and not the version: one that renews it changes nothing of what Entra ID said of the user.
        return f"{self.kept[0].enrolled_at:%Y-%m-%dT%H:%M:%SZ}"

    @property
    def expires_on(self) -> datetime | None:
        """An end that redeeming does not put off: a policy's."""
        newest = self.kept[0]
        return None if newest.longest_life is None else newest.enrolled_at + newest.longest_life

    def ending(self, ends: datetime) -> str:
        return (
            f"{self.user.username}: the enrollment ends at {instant(ends)}; enroll the user again before: "
            f"`patrol enroll {self.user.username}`."
        )

    def sign_in(self, proof: ClientProof) -> SignedInBy:
        """Redeem the newest version, else once the one before it; keep what comes of it before it is used.

        An old refresh token stays good after it was redeemed, so what could not be written is lost to nobody.
        """
        newest = self.kept[0]
        try:
            redeemed, keep = self._redeem(newest, proof), enrollment.is_old(newest, self.kinds.clock.now())
        except UserRefused as refusal:
            redeemed, keep = self._redeem_the_one_before(refusal, proof), True
        token = redeemed.refresh_token
        if keep and not (token is not None and self._is_kept(token, redeemed.person, newest)):
            return SignedInBy(redeemed.api, enrollment.good_until(newest))
        return SignedInBy(redeemed.api, self.expires_on)

    def _redeem(self, one: Kept, proof: ClientProof) -> Redeemed:
        token = self.kinds.world.refresh_tokens.read_version(self.name, one.version).value
        redeemed = self.kinds.world.enrolled.redeem(self.to, self.user, token, proof)
        if not enrollment.is_same_person(self.user, redeemed.person, one.object_id):
            raise _somebody_else(self.user)
        return redeemed

    def _redeem_the_one_before(self, refusal: UserRefused, proof: ClientProof) -> Redeemed:
        if len(self.kept) > 1:
            try:
                return self._redeem(self.kept[1], proof)
            except PatrolError as failure:
                self.kinds.world.tell("enrollment.fallback-failed", username=self.user.username, code=failure.code)
        if refusal.longest_life is not None:
            self._remember_life(refusal)
        raise refusal

    def _is_kept(self, token: SecretText, person: Person, before: Kept) -> bool:
        """Write what takes the place of `before`; False where the vault did not take it."""
        kinds, now = self.kinds, self.kinds.clock.now()
        tags = enrollment.renewed_tags(kinds.mark, self.to, self.user, person, before, now)
        ends = now + enrollment.IDLE_LIFE
        try:
            kinds.world.refresh_tokens.publish(self.name, token, ends, tags, enrollment.CONTENT_TYPE)
        except PatrolError as failure:
            says = f"{failure.cause} {failure.remedy}"
            kinds.world.tell("enrollment.not-renewed", username=self.user.username, code=failure.code, says=says)
            return False
        kinds.world.tell("enrollment.renewed", username=self.user.username, ends=ends)
        return True

    def _remember_life(self, refusal: UserRefused) -> None:
        """So that the next enrollment's end is known beforehand."""
        newest = self.kept[0]
        assert refusal.longest_life is not None
        tags = enrollment.limited_tags(newest, refusal.longest_life)
        if tags == newest.tags:
            return
        try:
            self.kinds.world.refresh_tokens.change(self.name, self.seen[newest.version], tags=tags)
        except PatrolError as failure:
            self.kinds.world.tell("enrollment.not-noted", username=self.user.username, code=failure.code)


def _somebody_else(user: User) -> UserRefused:
    return UserRefused(
        f"What is kept for {user.username} ({user.credential_name}) signs somebody else in; nothing was done with it.",
        "Find out who wrote that secret, and disable that version. Then enroll the user: "
        f"`patrol enroll {user.username}`.",
        "another-user",
        Again.DAILY,
        Code.ENROLLMENT_ENDED,
    )
