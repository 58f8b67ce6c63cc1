"""Doing: one token in an order that is safe to stop after any call.

Disable what is over, get a new token, verify it, publish it. There is nothing to undo: a token that was not published
expires by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.model import tags, token_tags
from shared.model.clock import Clock, whole_seconds
from shared.model.errors import Absent, Code, NotDone, PatrolError, Refused, Unclear
from shared.model.items import TokenItem
from shared.model.pats import ServiceToken
from shared.model.ports import Vault
from shared.model.secret_state import (
    TOKEN_CONTENT_TYPE,
    Nothing,
    PublishedToken,
    SecretSeen,
    TokenSecret,
    Unmarked,
    classify_token,
)
from shared.model.steps import Because
from shared.model.tags import Mark
from shared.model.token_tags import Replaced, TokenStamp
from shared.rotation import gate
from shared.rotation.publish import PUBLISH_WITHIN
from shared.rotation.world import World
from shared.rules import may_end
from shared.rules.token_plan import lasts_longer, over, replaced

_NEXT = "Nothing to do: the next refresh, within ten minutes, looks again."


@dataclass(frozen=True, slots=True)
class Refresh:
    """Where tokens are refreshed. `clock` shows vault time."""

    world: World
    vault: Vault
    tenant: str
    mark: Mark
    clock: Clock


def look(name: str, vault: Vault, mark: Mark) -> tuple[TokenSecret, timedelta]:
    """The secret as it is now, and the vault's clock minus ours."""
    looked = vault.look(name)
    if looked.seen is None:
        return Nothing(deleted=vault.is_deleted(name)), looked.ahead
    return token_seen(looked.seen, vault, mark), looked.ahead


def token_seen(row: SecretSeen, vault: Vault, mark: Mark) -> TokenSecret:
    """Whose a secret is.

    All versions are listed only where an unmarked one may lie on top of marked ones (rule 10): there may be thousands.
    """
    secret = classify_token(row, mark)
    if isinstance(secret, Unmarked) and not secret.edited:
        ours = any(token_tags.is_ours(version.tags, mark) for version in vault.versions(row.name))
        return Unmarked(edited=ours, tags=secret.tags)
    return secret


@dataclass(frozen=True, slots=True)
class Refreshed:
    """When the new token ends, and when what the service principal proves itself with does; None: it does not.

    `version`: of the secret, "" where the answer to the write was lost.
    """

    ends: datetime
    credential_ends: datetime | None
    version: str = ""


def refresh(run: Refresh, item: TokenItem, because: Because, secret: TokenSecret) -> Refreshed:
    """Publish a new token.

    Raises NotDone when nothing changed, Unclear when the new token may be current.
    """
    own_tags = secret.tags if isinstance(secret, PublishedToken | Unmarked) else {}
    _check_publish(run, item, own_tags)
    current = secret.version if isinstance(secret, PublishedToken) else ""
    disabled = _disable(run, item, over(secret, run.clock.now()), current)
    proof = run.world.proofs.of(item.credential, run.clock.now())
    asked_at = run.clock.now()
    fresh = run.world.tokens.issue(run.tenant, item.client_id, proof)
    # Counted from before it was issued, and by the vault's clock: never later than the token really ends.
    ends = whole_seconds(asked_at + fresh.lives)
    if not lasts_longer(ends, secret, because):
        raise NotDone(
            Code.TOKEN_NOT_NEWER,
            "The token that came as a new one does not last longer than the published one, so it was not published.",
            "Look for a cache between patrol and Entra ID, such as a proxy's; the next refresh asks again.",
        )
    _prove(run, item, fresh)
    now = run.clock.now()
    if now - asked_at > PUBLISH_WITHIN:
        raise NotDone(
            Code.PUBLISH_LATE,
            "More than five minutes passed since the token was issued, so another run may have published a newer one.",
            _NEXT,
        )
    stamp = TokenStamp(run.mark.text, item.client_id, item.organization, replaced(secret, now, disabled))
    version = _publish(run, item, fresh, ends, token_tags.write(stamp, own_tags))
    run.world.tell("token.published", secret=item.secret, client_id=item.client_id, expires=ends, because=because)
    return Refreshed(ends, proof.expires_on, version)


def _check_publish(run: Refresh, item: TokenItem, own_tags: Mapping[str, str]) -> None:
    """Refuse before asking for a token what the vault would refuse after it (rule 11)."""
    spare = tuple(Replaced("0" * 32, run.clock.now()) for _ in range(tags.MOST_PREDECESSORS))
    widest = TokenStamp(run.mark.text, item.client_id, item.organization, spare)
    if problem := tags.why_it_would_not_fit(token_tags.write(widest, own_tags)):
        raise NotDone(
            Code.PUBLISH_WOULD_FAIL,
            f"Key Vault would refuse the write: {problem}.",
            f"Remove tags of your own from the secret; patrol needs {len(token_tags.OURS)} of {tags.MOST_TAGS}.",
        )


def _disable(run: Refresh, item: TokenItem, versions: tuple[Replaced, ...], current: str) -> frozenset[str]:
    """Disable these; gives those that are. One that could not be is the next refresh's: a fresh value matters more."""
    done = set()
    for old in versions:
        allowed = may_end.replaced_token(old.version, item.secret, current)
        if allowed is None:
            continue
        try:
            gate.disable(run.vault, allowed)
        except Absent:
            pass
        except PatrolError as failure:
            run.world.tell("disable.failed", secret=item.secret, version=old.version, code=failure.code)
            continue
        done.add(old.version)
    return frozenset(done)


def _prove(run: Refresh, item: TokenItem, fresh: ServiceToken) -> None:
    try:
        run.world.verifier.verify_token(item, fresh)
    except NotDone as failure:
        cause = f"The new token did not pass its verification, and was not published. {failure.cause}"
        raise Refused(Code.VERIFY_FAILED, cause, failure.remedy) from None
    except Unclear as doubt:
        cause = f"Nobody could say whether the new token works, so it was not published. {doubt.cause}"
        raise Unclear(Code.VERIFY_UNCLEAR, cause, doubt.remedy) from None


def _publish(run: Refresh, item: TokenItem, fresh: ServiceToken, ends: datetime, written: dict[str, str]) -> str:
    """Gives the version, "" where the answer was lost."""
    try:
        return run.vault.publish(item.secret, fresh.value, ends, written, TOKEN_CONTENT_TYPE).version
    except Unclear:
        if not _is_current(run, item, fresh):
            raise Unclear(
                Code.PUBLISH_UNCLEAR,
                "Key Vault gave no clear answer to the write, and the new token is not seen as current.",
                _NEXT,
            ) from None
        return ""


def _is_current(run: Refresh, item: TokenItem, fresh: ServiceToken) -> bool:
    try:
        return run.vault.current(item.secret).value == fresh.value
    except PatrolError:
        return False
