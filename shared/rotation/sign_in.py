"""Signing technical users in, once per run, and never again with a credential that was refused (rule 12)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta

from shared.model.clock import Clock, instant
from shared.model.credentials import ClientProof, Credential, SignIn, credential_secret
from shared.model.errors import Absent, Code, Misconfigured, NotDone, PatrolError, UserRefused
from shared.model.items import User
from shared.model.ports import ClientProofs, Credentials, Directory, Events, PatApi, Vault
from shared.model.secret_state import VaultListing
from shared.model.steps import (
    Because,
)
from shared.model.tags import Mark
from shared.report.report import Outcome, Row, Verb
from shared.rules import lock_out
from shared.rules.lock_out import Block, Facts

CREDENTIAL_WARNING = timedelta(days=14)


class SignIns:
    """The one place of a run where users sign in: shares the app's own credential, and keeps the refusals in mind."""

    def __init__(
        self,
        sign_in: SignIn,
        directory: Directory,
        credentials: Credentials,
        proofs: ClientProofs,
        vault: Vault,
        listing: VaultListing,
        clock: Clock,
        mark: Mark,
        tell: Events,
    ) -> None:
        self._sign_in = sign_in
        self._directory = directory
        self._credentials = credentials
        self._proofs = proofs
        self._vault = vault
        self._listing = listing
        self._clock = clock
        self._mark = mark
        self._tell = tell
        self._lock = threading.Lock()
        self._proof: ClientProof | None = None
        self._apis: dict[str, PatApi] = {}
        self._warnings: dict[str, Row] = {}
        self.refused: Misconfigured | None = None
        """The first refusal that is true for every user alike; nobody signs in after it."""

    def sign_in(self, user: User, *, again: bool = False) -> PatApi:
        """Sign `user` in, or give what this run already has; `again`: its access token may have expired.

        Raises Misconfigured (tenant, client, its credential), UserRefused (refused now), NotDone with
        Code.USER_BLOCKED (refused earlier), or whatever reading the password raises.
        """
        if user.key in self._apis and not again:
            return self._apis[user.key]
        try:
            proof = self._fetch_proof()
            password = self._read_password(user)
            self._apis[user.key] = self._try(user, password, proof)
        except Misconfigured as refusal:
            self.refused = self.refused or refusal
            raise
        self._tell("user.signed-in", username=user.username)
        return self._apis[user.key]

    def prove(self) -> None:
        """Fetch what the app registration proves itself with, as a sign-in does; raises what that raises."""
        proof = self._fetch_proof()
        if callable(proof.means):
            proof.means()

    def _try(self, user: User, password: Credential, proof: ClientProof) -> PatApi:
        facts = Facts.of(user.username, self._sign_in, password.version, proof.version)
        before = self._remembered(user)
        if before is not None and before.holds(facts, self._clock.now()):
            raise blocked(user.username, before)
        if self.refused is not None:
            raise self.refused
        try:
            api = self._directory.sign_in(self._sign_in, user, password.value, proof)
        except UserRefused as refusal:
            block = lock_out.remembered(facts, refusal, before, self._clock.now())
            self._tell("user.blocked", username=user.username, code=block.word, next_try=block.next_try())
            self._note(user, lock_out.write(block, self._mark))
            raise
        if before is not None:
            self._note(user, lock_out.released(lock_out.write(before, self._mark)))
        return api

    def warnings(self) -> list[Row]:
        """One row for each credential read in this run whose own expiry is near."""
        return list(self._warnings.values())

    def _fetch_proof(self) -> ClientProof:
        with self._lock:
            if self.refused is not None:
                raise self.refused
            if self._proof is None:
                credential = self._sign_in.credential
                self._proof = self._proofs.of(credential, self._clock.now())
                self._warn(credential_secret(credential), "", self._proof)
            return self._proof

    def _read_password(self, user: User) -> Credential:
        try:
            password = self._credentials.read(user.password_secret_name)
        except Absent as failure:
            raise NotDone(Code.CREDENTIAL_UNREADABLE, failure.cause, failure.remedy) from None
        self._warn(user.password_secret_name, user.username, password)
        return password

    def _remembered(self, user: User) -> Block | None:
        row = self._listing.secrets.get(lock_out.note_name(user.username))
        return lock_out.read(row.tags) if row is not None else None

    def _note(self, user: User, tags: Mapping[str, str]) -> None:
        # What Entra ID said of the user matters more than whether it could be written down.
        try:
            self._vault.note(lock_out.note_name(user.username), tags)
        except PatrolError as failure:
            self._tell("note.failed", username=user.username, code=failure.code, says=str(failure))

    def _warn(self, name: str, username: str, credential: Credential | ClientProof) -> None:
        ends = credential.expires_on
        if ends is None or ends - self._clock.now() > CREDENTIAL_WARNING:
            return
        says = f"{name}: this credential expires at {instant(ends)}; replace it before patrol can no longer sign in."
        self._warnings[name.casefold()] = Row(
            name, username, "", Verb.HOLD, Outcome.HELD, Because.CREDENTIAL_NEAR_EXPIRY, says, ends
        )


def blocked(username: str, block: Block) -> NotDone:
    """The failure of a user whose sign-in was refused earlier and is not tried now."""
    again = block.next_try()
    when = f"It is tried again at {instant(again)}." if again else "It is not tried again until something changed."
    return NotDone(
        Code.USER_BLOCKED,
        f"Entra ID refused to sign {username} in ({block.word}, {instant(block.refused_at)}). {when}",
        f"Correct the cause; a new version of the password's secret lets patrol try, "
        f"and so does `python -m shared unblock {username}`.",
    )
