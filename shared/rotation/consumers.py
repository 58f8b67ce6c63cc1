"""The consumers of one run that keep a copy of a value, and the tokens that open them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from shared.model.errors import Code, Denied, NotDone, PatrolError, Refused
from shared.model.items import Item, SonarQube
from shared.model.pats import PatId
from shared.model.ports import Consumer, Credentials
from shared.model.secret_text import SecretText

Answer = TypeVar("Answer")


class Consumers:
    """The consumers of one run. A server that refused a token, or gave no answer, is not tried again in it.

    `tried`: how the pushes of this run ended, by casefolded secret and PAT; None is well.
    """

    def __init__(self, consumer: Consumer, credentials: Credentials) -> None:
        self._consumer = consumer
        self._credentials = credentials
        self.tried: dict[tuple[str, PatId], PatrolError | None] = {}
        self._failed: dict[tuple[str, str], PatrolError] = {}
        self._tokens: dict[str, SecretText] = {}
        self._lock = Lock()

    def push(self, item: Item, to: SonarQube, value: SecretText) -> None:
        """Raises PatrolError: nobody can tell then which value the consumer has."""
        self._try(to, lambda token: self._consumer.push(to, token, item.organization, value))

    def works(self, item: Item, to: SonarQube) -> bool:
        """Whether the copy passes the consumer's own check. Raises as `push` does."""
        return self._try(to, lambda token: self._consumer.works(to, token, item.organization))

    def check(self, item: Item, to: SonarQube) -> None:
        """Try all that can be tried without a change. Raises PatrolError."""
        self._try(to, lambda token: self._consumer.check(to, token, item.organization))

    def _try(self, to: SonarQube, call: Callable[[SecretText], Answer]) -> Answer:
        server = (to.url, to.token_secret_name)
        with self._lock:
            before = self._failed.get(server)
        if before is not None:
            raise before
        try:
            return call(self._token(to.token_secret_name))
        except PatrolError as failure:
            # A refusal of one setting says nothing about the others of the server.
            if not isinstance(failure, Refused):
                with self._lock:
                    self._failed[server] = failure
            raise

    def _token(self, name: str) -> SecretText:
        with self._lock:
            known = self._tokens.get(name)
        if known is not None:
            return known
        try:
            token = self._credentials.read(name).value
        except NotDone as failure:
            kind = Denied if isinstance(failure, Denied) else NotDone
            raise kind(Code.CONSUMER_TOKEN_UNREADABLE, failure.cause, failure.remedy) from None
        with self._lock:
            self._tokens[name] = token
        return token
