"""Enrolling a technical user: a person signs in as it once, and the refresh token is kept (rule 16).

Nothing is written before everything was judged. The caller brings the browser: a listener of the command line, or the
doors of the app.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.model.clock import check_clock, instant
from shared.model.enrollment import Kept, Redeemed, SignInPage
from shared.model.errors import Code, Misconfigured, NotDone, PatrolError
from shared.model.items import Inventory, User
from shared.model.tags import Mark
from shared.rotation.sign_in_kinds import needed
from shared.rotation.world import World
from shared.rules import enrollment, lock_out


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What holds now. `good_until`: its end if nothing renews it; patrol does at every run."""

    username: str
    secret: str
    good_until: datetime
    by_policy: bool

    @property
    def says(self) -> str:
        if self.by_policy:
            why = "a sign-in frequency policy ends it then, so enroll it again before"
        else:
            why = "every run puts that off, so nobody has to come back while patrol runs"
        until = instant(self.good_until)
        return f"{self.username} is enrolled: patrol signs in as it without a password. Good until {until}; {why}."

    def to_json(self) -> dict[str, object]:
        return {
            "username": self.username,
            "secret": self.secret,
            "good_until": instant(self.good_until),
            "by_policy": self.by_policy,
        }


def enrollable(inventory: Inventory, username: str) -> User:
    """The user as pats.yaml has it. Raises Misconfigured for one that it does not have, or that has a password."""
    user = next((user for user in inventory.users if user.key == username.casefold()), None)
    if user is None:
        raise Misconfigured(
            Code.INVENTORY_INVALID,
            f"pats.yaml has no user {username} that can sign in.",
            "Write it there with `enrolled: true`, or correct the name; a service principal needs no enrollment.",
        )
    if not user.enrolled:
        raise Misconfigured(
            Code.INVENTORY_INVALID,
            f"{user.username} signs in with a password ({user.password_secret_name}).",
            "Write `enrolled: true` in place of `password_secret_name` in pats.yaml first.",
        )
    return user


@dataclass(frozen=True, slots=True)
class Enrolling:
    """One user's enrollment: first `page`, then, with what the browser brought back, `finish`."""

    inventory: Inventory
    world: World
    mark: Mark
    user: User

    def page(self, redirect_uri: str) -> SignInPage:
        """Where the browser goes. Raises Misconfigured or Unclear."""
        sign_in, world = self.inventory.sign_in, self.world
        check_clock(world.vault.look(lock_out.note_name(self.user.username)).ahead)
        proof = world.proofs.of(sign_in.credential, world.clock.now())
        return world.enrolled.page(sign_in, self.user, redirect_uri, proof)

    def finish(self, page: SignInPage, answer: Mapping[str, str]) -> Enrolled:
        """Redeem, judge, try, keep. Raises NotDone (`Code.ENROLLMENT_REFUSED`) and whatever the services raise."""
        sign_in, world, user = self.inventory.sign_in, self.world, self.user
        listing = world.refresh_tokens.versions(user.credential_name)
        kept = enrollment.kept(listing, sign_in)
        before = kept[0] if kept else None
        proof = world.proofs.of(sign_in.credential, world.clock.now())
        redeemed = world.enrolled.finish(sign_in, user, page, answer, proof)
        self._judge(redeemed, before)
        self._try(redeemed)
        return self._keep(redeemed, before, listing.at)

    def _judge(self, redeemed: Redeemed, before: Kept | None) -> None:
        lasts = redeemed.refresh_token is not None
        found = enrollment.objection(self.user, redeemed.person, redeemed.scopes, before, lasts=lasts)
        if found is not None:
            self.world.tell("enrollment.refused", username=self.user.username, says=found.cause)
            raise NotDone(Code.ENROLLMENT_REFUSED, f"{found.cause} Nothing was kept.", found.remedy)

    def _try(self, redeemed: Redeemed) -> None:
        """List PATs once: what a run does first."""
        organization = next((item.organization for item in self.user.items), None)
        if organization is not None:
            try:
                redeemed.api.active(organization)
            except PatrolError as failure:
                cause = f"{self.user.username} signed in, and cannot list its PATs in {organization}. {failure.cause}"
                raise NotDone(Code.ENROLLMENT_REFUSED, f"{cause} Nothing was kept.", failure.remedy) from None

    def _keep(self, redeemed: Redeemed, before: Kept | None, now: datetime) -> Enrolled:
        user, sign_in = self.user, self.inventory.sign_in
        assert redeemed.refresh_token is not None  # it was judged
        tags = enrollment.enrolled_tags(self.mark, sign_in, user, redeemed.person, before, now)
        ends = now + enrollment.IDLE_LIFE
        written = self.world.refresh_tokens.publish(
            user.credential_name, redeemed.refresh_token, ends, tags, enrollment.CONTENT_TYPE
        )
        (fresh,) = enrollment.kept([written], sign_in)
        self.world.tell("user.enrolled", username=user.username, ends=enrollment.good_until(fresh))
        return _told(user, fresh)


@dataclass(frozen=True, slots=True)
class EnrollmentSeen:
    """How an enrolled user stands, by its secret alone. `good_until`: None where nobody has enrolled it."""

    username: str
    good_until: datetime | None
    enrolled_at: datetime | None
    state: str
    """`good`, `ending` (within 14 days), `ended` or `needed`."""

    @property
    def is_over(self) -> bool:
        """Whether a person has to enroll it before it can sign in."""
        return self.state in ("ended", "needed")

    def failure(self) -> NotDone:
        """Why the user cannot sign in, where it is over."""
        if self.good_until is None:
            return needed(self.username)
        return NotDone(
            Code.ENROLLMENT_ENDED,
            f"The enrollment of {self.username} ended at {instant(self.good_until)}.",
            f"Enroll it again: `patrol enroll {self.username}`, which leads to a page to sign in at as that user.",
        )

    def to_json(self) -> dict[str, object]:
        return {
            "username": self.username,
            "state": self.state,
            "enrolled_at": instant(self.enrolled_at),
            "good_until": instant(self.good_until),
        }


def enrollments(inventory: Inventory, world: World) -> tuple[EnrollmentSeen, ...]:
    """Of every enrolled user of pats.yaml, without a sign-in: one listing of versions each, no value read."""
    return tuple(_seen(inventory, world, user) for user in inventory.users if user.enrolled)


def _seen(inventory: Inventory, world: World, user: User) -> EnrollmentSeen:
    listing = world.refresh_tokens.versions(user.credential_name)
    kept = enrollment.kept(listing, inventory.sign_in)
    if not kept:
        return EnrollmentSeen(user.username, None, None, "needed")
    ends, now = enrollment.good_until(kept[0]), listing.at
    state = "ended" if ends <= now else "ending" if ends - now <= enrollment.WARNING else "good"
    return EnrollmentSeen(user.username, ends, kept[0].enrolled_at, state)


def _told(user: User, fresh: Kept) -> Enrolled:
    ends = enrollment.good_until(fresh)
    return Enrolled(user.username, user.credential_name, ends, ends < fresh.created + enrollment.IDLE_LIFE)
