"""A webhook of `then`: told that a secret has a new current version, so that something restarts or reads it again.

It is what a webhook of `notify` is (docs/notices.md), with the type `patrol.published`: which secret and which version,
never the value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from shared.model.clock import Clock, Deadline
from shared.model.consumers import Given, Keys, Webhook
from shared.model.errors import Code, PatrolError, Refused
from shared.model.notices import Event, Kind, Notice, NoticeItem, Recipient
from shared.model.ports import Recipients
from shared.model.secret_text import SecretText

Answer = TypeVar("Answer")

_CODES = {
    Code.RECIPIENT_UNREADABLE: Code.CONSUMER_TOKEN_UNREADABLE,
    Code.RECIPIENT_REFUSED: Code.CONSUMER_REFUSED,
    Code.RECIPIENT_UNREACHABLE: Code.CONSUMER_UNREACHABLE,
}
_REFUSED = (
    "See that the secret {name} holds its address, and that it takes CloudEvents with the signature that "
    "`signing_secret_name` makes; what it answers is in its own log."
)


class Webhooks:
    """See `ports.ConsumerServices`. A 2xx is taken for told: nobody can ask what became of it."""

    def __init__(self, recipients: Recipients, clock: Clock, deadline: Deadline, deployment: str) -> None:
        self._recipients = recipients
        self._clock = clock
        self._deadline = deadline
        self._deployment = deployment

    def check(self, to: Webhook, keys: Keys, organization: str) -> str:  # noqa: ARG002  # it is of any
        url, signing = _split(keys)
        _as_consumer(to, lambda: self._recipients.check(_recipient(to), url, signing))
        return ""

    def works(self, to: Webhook, keys: Keys, organization: str, since: datetime) -> bool:  # noqa: ARG002
        """Nothing is ever known against it: it keeps no copy."""
        return True

    def push(self, to: Webhook, keys: Keys, given: Given) -> str:
        url, signing = _split(keys)
        notice = self._notice(given)
        _as_consumer(to, lambda: self._recipients.tell(_recipient(to), url, signing, notice, self._deadline))
        return ""

    def _notice(self, given: Given) -> Notice:
        known = (given.secret, given.username, given.organization, given.expires_on, given.version)
        item = NoticeItem(*known, owner=given.owner)
        # The same however often one version is told, by whatever run.
        what = f"{self._deployment}/{given.vault}/{given.secret.casefold()}/{given.version}"
        return Notice(
            id=hashlib.sha256(what.encode()).hexdigest()[:32],
            event=Event.PUBLISHED,
            code="published",
            subject=given.secret,
            cause=f"The secret {given.secret} has a new current version.",
            remedy="Read it again before the value of the version before ends.",
            at=self._clock.now(),
            deployment=self._deployment,
            vault=given.vault,
            run_id=given.run_id,
            items=(item,),
            items_in_all=1,
            since=given.published_at,
        )


def _recipient(to: Webhook) -> Recipient:
    return Recipient(
        Kind.WEBHOOK,
        to.url_secret_name,
        on=frozenset(),
        signing_secret_name=to.signing_secret_name,
        allow_private=to.allow_private,
    )


def _split(keys: Keys) -> tuple[SecretText, SecretText | None]:
    return keys[0], keys[1] if len(keys) > 1 else None


def _as_consumer(to: Webhook, call: Callable[[], Answer]) -> Answer:
    """A failure as one of a consumer. Raises what `call` raises, under a consumer's code."""
    try:
        return call()
    except PatrolError as failure:
        code = _CODES.get(failure.code, failure.code)
        remedy = _REFUSED.format(name=to.url_secret_name) if isinstance(failure, Refused) else failure.remedy
        raise type(failure)(code, failure.cause, remedy) from None
