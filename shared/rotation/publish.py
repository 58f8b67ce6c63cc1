"""Publishing: our facts on the versions of secrets, written so that no write says of a value what it is not.

Key Vault has no pending stage, so what is published is current at once: verify comes before it (rule 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Lock

from shared.model import tags
from shared.model.clock import Clock, Deadline
from shared.model.consumers import widest_tag
from shared.model.errors import Code, Denied, NotDone, PatrolError, Refused, Unclear
from shared.model.items import Item
from shared.model.pats import Claim, Minted, PatId
from shared.model.ports import Events, Vault, Verifier
from shared.model.secret_state import Current, Published, VersionListing, VersionSeen
from shared.model.secret_text import SecretText
from shared.model.steps import Because
from shared.model.tags import Mark, Predecessor, Stamp

PUBLISH_WITHIN = timedelta(minutes=5)

# How long a new PAT may take to be accepted everywhere is not documented: ask again for about half a minute.
VERIFY_AGAIN_AFTER = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 15))


class Publisher:
    """Writes versions and their facts into one vault; `clock` shows its time.

    Guards rule 11: a vault that refused the writes of two different secrets for lack of rights, and took none, is not
    minted for again in this run. One secret's refusal (a policy, a conditioned role, its own lock) is that secret's.
    """

    def __init__(self, vault: Vault, mark: Mark, tell: Events) -> None:
        self._vault = vault
        self._mark = mark
        self._tell = tell
        self._lock = Lock()
        self._forbidden: dict[str, NotDone] = {}
        self._took_one = False

    def check(self, item: Item, people: Mapping[str, str]) -> None:
        """Raises NotDone before minting for what the vault would refuse after it. `people`: the secret's own tags."""
        refusal = self._closed()
        if refusal is not None:
            cause = f"The vault refused the writes of different secrets earlier in this run. {refusal.cause}"
            raise NotDone(Code.VAULT_CLOSED, cause, refusal.remedy)
        longest = PatId("0" * 36)
        widest = Stamp(
            self._mark.text,
            longest,
            item.organization,
            longest,
            item.username,
            "s" * 100,
            predecessors=(Predecessor(longest, datetime.max.replace(tzinfo=UTC)),),
            pushed_to=widest_tag(item.then),
        )
        if problem := tags.why_it_would_not_fit(tags.write(widest, people)):
            raise NotDone(
                Code.PUBLISH_WOULD_FAIL,
                f"Key Vault would refuse the write: {problem}.",
                f"Remove tags of your own from the secret; patrol needs {len(tags.OURS)} of {tags.MOST_TAGS}.",
            )

    def publish(
        self, name: str, minted: Minted, stamp: Stamp, people: Mapping[str, str], because: Because
    ) -> VersionSeen:
        """One new version. Raises NotDone when nothing changed, Unclear when the new value may be current."""
        ends = minted.pat.validity.ends
        try:
            version = self._vault.publish(name, minted.value, ends, tags.write(stamp, people))
        except NotDone as refusal:
            if refusal.code is Code.PUBLISH_FORBIDDEN:
                with self._lock:
                    self._forbidden[name.casefold()] = refusal
            raise
        except Unclear:
            version = self._read_back(name, minted.pat.id)
        with self._lock:
            self._took_one = True
        self._tell("pat.published", secret=name, authorization_id=minted.pat.id, expires=ends, because=because)
        return version

    def current(self, name: str, pat: PatId) -> Current:
        """The current version with its value, while it holds `pat`.

        Raises Unclear when it no longer does: somebody was faster, and the next run sees what they did. Denied when it
        is disabled.
        """
        current = self._vault.current(name)
        if not current.version.names(pat):
            raise overtaken()
        return current

    def current_version(self, name: str, pat: PatId) -> tuple[VersionSeen, VersionListing | None]:
        """As `current`, without the value, also of a disabled version; its versions where those had to be listed."""
        try:
            return self.current(name, pat).version, None
        except Denied:
            # A disabled version cannot be read, and its answer looks like a missing permission: find it among all.
            listing = self._vault.versions(name)
            newest = listing.newest()
            if newest is None or newest.enabled:
                raise
            if not newest.names(pat):
                raise overtaken() from None
            return newest, listing

    def remember(
        self, name: str, version: VersionSeen, change: Callable[[Stamp], Stamp], expires_on: datetime | None = None
    ) -> VersionSeen:
        """Write facts on exactly the version that they were read from; people's own tags stay. Gives it as it is then.

        The only way that facts of a published version change: they cannot travel to another one.
        """
        stamp = version.stamp
        if stamp is None or stamp.managed_by.casefold() != self._mark.text.casefold():
            raise overtaken()
        changed = change(stamp)
        if changed == stamp and expires_on in (None, version.expires_on):
            return version
        return self._vault.change(name, version, tags=tags.write(changed, version.tags), expires_on=expires_on)

    def _closed(self) -> NotDone | None:
        with self._lock:
            refused = list(self._forbidden.values())
            return refused[-1] if len(refused) > 1 and not self._took_one else None

    def _read_back(self, name: str, pat: PatId) -> VersionSeen:
        # Never revoke while in doubt: the write may arrive yet (rule 2).
        try:
            return self.current(name, pat).version
        except PatrolError:
            raise Unclear(
                Code.PUBLISH_UNCLEAR,
                "Key Vault gave no clear answer to the write, and the new PAT is not seen as current.",
                "Nothing to do: the old PAT stays current and alive, the next run looks again and ends what is left "
                "over.",
            ) from None


def overtaken() -> Unclear:
    """That somebody else's value became current meanwhile."""
    return Unclear(
        Code.VAULT_UNCLEAR,
        "Another run replaced the secret meanwhile.",
        "Nothing to do: the next run goes on from there.",
    )


def published(version: VersionSeen) -> Published | None:
    """The facts of a version that patrol wrote; None when its tags are not patrol's."""
    stamp = version.stamp
    if stamp is None:
        return None
    return Published(stamp, version.created, version.expires_on, version.enabled, version.tags)


def verify(verifier: Verifier, claim: Claim, value: SecretText, clock: Clock, deadline: Deadline) -> None:
    """Prove a value, asking again while a new PAT spreads. Raises NotDone when it never worked, else Unclear."""
    waits = iter(VERIFY_AGAIN_AFTER)
    while True:
        try:
            verifier.verify(claim, value)
        except PatrolError as failure:
            wait = next(waits, None)
            if wait is None or deadline.left() < wait:
                raise _unproved(failure) from None
            clock.sleep(wait)
        else:
            return


def claim_of(item: Item, organization_id: str | None) -> Claim:
    """Of whom a value of `item` must be, and how that is proved."""
    return Claim(item.username, item.organization, organization_id, item.verify)


def in_time(minted: Minted, clock: Clock) -> None:
    """Raises NotDone when another run may have judged the fresh PAT meanwhile (rule 2)."""
    if minted.at.age(clock) > PUBLISH_WITHIN:
        raise NotDone(
            Code.PUBLISH_LATE,
            "More than five minutes passed between minting and publishing, so another run may have taken over.",
            "Nothing to do: the fresh PAT was ended and the next run tries again.",
        )


def _unproved(failure: PatrolError) -> PatrolError:
    cause = f"The PAT did not pass its verification. {failure.cause}"
    if isinstance(failure, NotDone):
        hint = "If its scopes cannot read connectionData, set `verify` on the item to a GET path they can read."
        return Refused(Code.VERIFY_FAILED, cause, f"{failure.remedy} {hint}")
    return Unclear(Code.VERIFY_UNCLEAR, cause, failure.remedy)


def without(stamp: Stamp, ended: frozenset[PatId]) -> Stamp:
    """The facts without these predecessors."""
    kept = tuple(predecessor for predecessor in stamp.predecessors if predecessor.id not in ended)
    return replace(stamp, predecessors=kept)
