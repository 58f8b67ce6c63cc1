"""Signing technical users in, and never again with a credential that was refused (rule 12).

A ledger for each user: within the process under a lock that every way to a sign-in obeys, between processes a note in
the vault that is read again right before the password goes out, under a lease where there is a storage.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeGuard

from shared.model.clock import Clock, check_clock, instant
from shared.model.credentials import ClientProof, SignIn, credential_secret
from shared.model.errors import (
    A_PERSON_MUST_ACT,
    Again,
    Busy,
    Code,
    Misconfigured,
    NotDone,
    PatrolError,
    Unclear,
    UserRefused,
)
from shared.model.items import Inventory, User
from shared.model.ports import PatApi, Vault
from shared.model.secret_state import VersionSeen
from shared.model.steps import Because
from shared.model.tags import Mark
from shared.report.report import Outcome, Row, Verb
from shared.rotation.sign_in_kinds import PASSWORD, Means, SignInKinds, credential_ending
from shared.rotation.world import World
from shared.rules import lock_out
from shared.rules.lock_out import Block, Facts

CREDENTIAL_WARNING = timedelta(days=14)
TURN_WITHIN = timedelta(seconds=30)
"""How long another process's sign-in of the same user is waited for: one takes about a second."""
NEWS = timedelta(seconds=1)
"""So long what was read of a user counts as read right before the password goes out: longer than a write takes that
neither waits for its turn nor is asked for again.
"""


@dataclass(frozen=True, slots=True)
class _Note:
    """The note about a user as it was just read. `tags`: of its newest version, empty where there is none; `words`: of
    all its versions, newest first.
    """

    tags: Mapping[str, str]
    words: tuple[Mapping[str, str], ...]

    def block(self, facts: Facts) -> Block | None:
        return lock_out.strongest(self.words, facts)


class SignIns:
    """Where the users of one run sign in: shares the app's own credential, and keeps the refusals in mind.

    `clock` shows vault time. `urgent`: an emergency may pass a block that does not judge the password, once.
    """

    def __init__(self, world: World, sign_in: SignIn, clock: Clock, mark: Mark, *, urgent: bool = False) -> None:
        self._world = world
        self._sign_in = sign_in
        self._clock = clock
        self._mark = mark
        self._urgent = urgent
        self._passed: set[str] = set()
        self._lock = threading.Lock()
        self._proof: ClientProof | None = None
        self._apis: dict[str, PatApi] = {}
        self._warnings: dict[str, Row] = {}
        self.refused: Misconfigured | None = None
        """The first refusal that is true for every user alike; nobody signs in after it."""

    def sign_in(self, user: User, *, again: bool = False) -> PatApi:
        """Sign `user` in, or give what this run already has; `again`: its access token may have expired.

        Raises Misconfigured (tenant, client, its credential), UserRefused (refused now), NotDone with
        Code.USER_BLOCKED or Code.ENROLLMENT_ENDED (refused earlier), Code.ENROLLMENT_NEEDED or Code.NOTE_UNWRITABLE, or
        whatever reading what signs in raises.
        """
        with self._world.ledger.turn(user):
            if user.key in self._apis and not again:
                return self._apis[user.key]
            try:
                self._apis[user.key] = self._try(user, self._fetch_proof())
            except Misconfigured as refusal:
                self.refused = self.refused or refusal
                raise
        self._world.tell("user.signed-in", username=user.username)
        return self._apis[user.key]

    def prove(self) -> None:
        """Fetch what the app registration proves itself with, as a sign-in does; raises what that raises."""
        proof = self._fetch_proof()
        if callable(proof.means):
            proof.means()

    def warnings(self) -> list[Row]:
        """One row for each credential read in this run whose own expiry is near."""
        return list(self._warnings.values())

    def _try(self, user: User, proof: ClientProof) -> PatApi:
        with self._turn(user):
            means = SignInKinds(self._world, self._clock, self._mark).of(user, self._sign_in)
            self._warn(user, means, means.expires_on)
            facts = Facts.of(user.username, self._sign_in, means.version, proof.version)
            note, read_at = self._read_note(user), self._clock.elapsed()
            before = self._later(note.block(facts), self._world.ledger.block(user))
            self._refuse_blocked(user, facts, before)
            if self.refused is not None:
                raise self.refused
            ahead = None
            if not lock_out.is_proven(note.tags, facts):
                ahead = self._write_ahead(user, facts, before, means.what)
                if self._clock.elapsed() - read_at > NEWS:
                    self._refuse_judged(user, facts, note.block(facts), ahead)
            try:
                signed_in = means.sign_in(proof)
            except UserRefused as refusal:
                self._remember(user, lock_out.remembered(facts, refusal, before, self._clock.now()), ahead)
                raise
            except Unclear as doubt:
                if getattr(doubt, "sent", True):
                    self._remember(user, lock_out.unanswered(facts, before, self._clock.now(), means.what), ahead)
                else:
                    self._forget_attempt(user, note, ahead)
                raise
            except PatrolError:
                self._forget_attempt(user, note, ahead)
                raise
            self._world.ledger.keep(user, None)
            if ahead is not None:
                self._note(user, lock_out.proven(facts, self._mark), ahead)
            self._warn(user, means, signed_in.ends)
            return signed_in.api

    @contextmanager
    def _turn(self, user: User) -> Iterator[None]:
        """The user's lease where there is a storage. One that stays taken is advice: the note is read again anyway."""
        try:
            held = self._world.flight.take(lock_out.note_name(user.username), self._world.deadline.within(TURN_WITHIN))
            held.__enter__()
        except Busy:
            yield
            return
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    def _refuse_blocked(self, user: User, facts: Facts, before: Block | None) -> None:
        if before is None or not before.holds(facts, self._clock.now()):
            return
        if self._urgent and lock_out.may_pass(before) and user.key not in self._passed:
            self._passed.add(user.key)
            return
        raise blocked(user.username, before, enrolled=user.enrolled)

    def _refuse_judged(self, user: User, facts: Facts, known: Block | None, ahead: VersionSeen) -> None:
        """The attempt took its time to be written down: another process may have been refused meanwhile."""
        found = self._read_note(user, but=ahead).block(facts)
        if found is None or found == known or found.facts != facts or found.again is Again.UNCLEAR:
            return
        self._note(user, lock_out.write(found, self._mark), ahead)
        self._refuse_blocked(user, facts, found)

    def _later(self, noted: Block | None, kept: Block | None) -> Block | None:
        """What counts: the vault's note is everybody's, this process's memory stands in where none could be written."""
        if noted is None or kept is None:
            return noted or kept
        return max(noted, kept, key=lambda block: block.refused_at)

    def _read_note(self, user: User, *, but: VersionSeen | None = None) -> _Note:
        """`but`: a version of one's own that says nothing new."""
        versions = self._world.vault.versions(lock_out.note_name(user.username))
        listing = [version for version in versions if but is None or version.version != but.version]
        newest = sorted(listing, key=lambda version: (version.created, lock_out.weight(version.tags)), reverse=True)
        words = tuple(version.tags for version in newest)
        if words and words[0].get("state") == "released":
            self._world.ledger.keep(user, None)
        return _Note(words[0] if words else {}, words)

    def _write_ahead(self, user: User, facts: Facts, before: Block | None, what: str) -> VersionSeen:
        """Note the attempt before what signs in goes out: what cannot be remembered is not tried."""
        try:
            return self._write(user, self._ahead(facts, before, what))
        except PatrolError as failure:
            if failure.code is not Code.SECRET_DELETED:
                raise _unwritable(user, what, failure) from None
        # Somebody deleted the note: patrol's own, so it comes back, and what it remembered still counts.
        try:
            self._world.vault.recover(lock_out.note_name(user.username))
            before = self._read_note(user).block(facts)
            self._refuse_blocked(user, facts, before)
            return self._write(user, self._ahead(facts, before, what))
        except PatrolError as trouble:
            raise (trouble if trouble.code in A_PERSON_MUST_ACT else _unwritable(user, what, trouble)) from None

    def _ahead(self, facts: Facts, before: Block | None, what: str) -> dict[str, str]:
        return lock_out.write(lock_out.unanswered(facts, before, self._clock.now(), what), self._mark)

    def _forget_attempt(self, user: User, note: _Note, ahead: VersionSeen | None) -> None:
        """Nobody judged anything: the note says again what it said."""
        if ahead is not None:
            self._note(user, note.tags or lock_out.released(ahead.tags), ahead)

    def _remember(self, user: User, block: Block, ahead: VersionSeen | None) -> None:
        self._world.ledger.keep(user, block)
        self._world.tell("user.blocked", username=user.username, code=block.word, next_try=block.next_try())
        self._note(user, lock_out.write(block, self._mark), ahead)

    def _note(self, user: User, tags: Mapping[str, str], ahead: VersionSeen | None) -> None:
        """Say how the attempt ended, on the version that announced it where there is one."""
        # What Entra ID said of the user matters more than whether it could be written down.
        try:
            if ahead is None:
                self._write(user, tags)
            else:
                self._world.vault.change(lock_out.note_name(user.username), ahead, tags=tags)
        except PatrolError as failure:
            self._world.tell("note.failed", username=user.username, code=failure.code, says=str(failure))

    def _write(self, user: User, tags: Mapping[str, str]) -> VersionSeen:
        return self._world.vault.note(lock_out.note_name(user.username), tags)

    def _fetch_proof(self) -> ClientProof:
        with self._lock:
            if self.refused is not None:
                raise self.refused
            if self._proof is None:
                credential = self._sign_in.credential
                self._proof = self._world.proofs.of(credential, self._clock.now())
                name, ends = credential_secret(credential), self._proof.expires_on
                if self._is_near(ends):
                    because, says = Because.CREDENTIAL_NEAR_EXPIRY, credential_ending(name, ends)
                    self._warnings[name.casefold()] = _warning(name, "", because, says, ends)
            return self._proof

    def _warn(self, user: User, means: Means, ends: datetime | None) -> None:
        if not self._is_near(ends):
            return
        if user.enrolled:
            self._world.tell("enrollment.ending", username=user.username, ends=ends)
        self._warnings[means.name.casefold()] = _warning(
            means.name, user.username, means.because, means.ending(ends), ends
        )

    def _is_near(self, ends: datetime | None) -> TypeGuard[datetime]:
        return ends is not None and ends - self._clock.now() <= CREDENTIAL_WARNING


def _warning(name: str, username: str, because: Because, says: str, ends: datetime) -> Row:
    return Row(name, username, "", Verb.HOLD, Outcome.HELD, because, says, ends)


def _unwritable(user: User, what: str, failure: PatrolError) -> NotDone:
    nothing = "No password" if what == PASSWORD else f"No{what.removeprefix('The')}"
    return NotDone(
        Code.NOTE_UNWRITABLE,
        f"{nothing} was sent for {user.username}, because what became of it could not be remembered. {failure.cause}",
        f"{failure.remedy} Without its notes patrol could lock the user out.",
    )


def blocked(username: str, block: Block, *, enrolled: bool) -> NotDone:
    """The failure of a user whose sign-in was refused earlier and is not tried now."""
    again = block.next_try()
    when = f"It is tried again at {instant(again)}." if again else "It is not tried again until something changed."
    cause = block.cause or f"Entra ID refused to sign {username} in ({block.word})."
    remedy = block.remedy or "Correct the cause."
    ended = enrolled and block.again is not Again.UNCLEAR
    released_by = "A new enrollment" if enrolled else "A new version of the password's secret"
    return NotDone(
        Code.ENROLLMENT_ENDED if ended else Code.USER_BLOCKED,
        f"{cause} That was at {instant(block.refused_at)}. {when}",
        f"{remedy} {released_by} lets patrol try, and so does `patrol unblock {username}`.",
    )


@dataclass(frozen=True, slots=True)
class Unblocked:
    """What `unblock` did."""

    username: str
    released: bool
    says: str

    def to_json(self) -> dict[str, object]:
        return {"username": self.username, "released": self.released, "says": self.says}


def unblock(inventory: Inventory, vault: Vault, username: str) -> Unblocked:
    """Release a user's remembered refusal. Raises Misconfigured for a user nobody knows, and for a wrong clock."""
    users = {user.key for user in inventory.users}
    looked = vault.look(lock_out.note_name(username))
    check_clock(looked.ahead)
    note = looked.seen
    if note is None and username.casefold() not in users:
        raise Misconfigured(
            Code.INVENTORY_INVALID, f"pats.yaml has no user {username}.", "Give the user as pats.yaml writes it."
        )
    if note is None or lock_out.read(note.tags) is None:
        return Unblocked(username, False, f"{username} is not blocked; nothing was changed.")
    vault.note(note.name, lock_out.released(note.tags))
    return Unblocked(username, True, f"{username} is released; the next run tries to sign in once.")
