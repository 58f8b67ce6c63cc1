"""The consumers of one run, and the secrets that open them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import TypeVar

from shared.model.consumers import Consumer, Given, Keys, Taker
from shared.model.errors import Code, Denied, NotDone, PatrolError, Refused
from shared.model.pats import PatId
from shared.model.ports import ConsumerServices, Credentials
from shared.model.secret_text import SecretText

Answer = TypeVar("Answer")


class Consumers:
    """The consumers of one run. A server that refused a key, or gave no answer, is not tried again in it.

    `tried`: how the pushes of this run ended, by casefolded secret, PAT and consumer; None is
    well.
    """

    def __init__(self, services: ConsumerServices, credentials: Credentials) -> None:
        self._services = services
        self._credentials = credentials
        self.tried: dict[tuple[str, PatId, Taker], PatrolError | None] = {}
        self._failed: dict[str, PatrolError] = {}
        self._keys: dict[str, SecretText] = {}
        self._lock = Lock()

    def push(self, to: Consumer, given: Given) -> str:
        """Gives what a person should know besides. Raises PatrolError: nobody can tell then which value it has."""
        return self._try(to, lambda keys: self._services.push(to, keys, given))

    def works(self, to: Consumer, organization: str, since: datetime) -> bool:
        """Whether nothing is known against its copy, of a value that was published at `since`. Raises as `push`."""
        return self._try(to, lambda keys: self._services.works(to, keys, organization, since))

    def check(self, to: Consumer, organization: str) -> str:
        """Try all that can be tried without a change; gives what a person should know. Raises PatrolError."""
        return self._try(to, lambda keys: self._services.check(to, keys, organization))

    def _try(self, to: Consumer, call: Callable[[Keys], Answer]) -> Answer:
        with self._lock:
            before = self._failed.get(to.server)
        if before is not None:
            raise before
        try:
            return call(tuple(self._key(name) for name in to.secret_names))
        except PatrolError as failure:
            # A refusal of one setting says nothing about the others of the server.
            if not isinstance(failure, Refused):
                with self._lock:
                    self._failed[to.server] = failure
            raise

    def _key(self, name: str) -> SecretText:
        with self._lock:
            known = self._keys.get(name)
        if known is not None:
            return known
        try:
            key = self._credentials.read(name).value
        except NotDone as failure:
            kind = Denied if isinstance(failure, Denied) else NotDone
            raise kind(Code.CONSUMER_TOKEN_UNREADABLE, failure.cause, failure.remedy) from None
        with self._lock:
            self._keys[name] = key
        return key
