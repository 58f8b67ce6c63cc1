"""Consumers of a published value (`then`), and how the tag `pushed-to` names those that have taken it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.model.secret_text import SecretText
from shared.model.tags import LONGEST_TAG, fitting

MOST_CONSUMERS = 6
"""Of one item: eight fit into a tag, and two may have been taken off the item since."""

Taker = str
"""How a tag names one of several consumers: `<kind>:<12 hex of the SHA-256 of its text>`."""

_TAKERS = re.compile(r"[a-z-]+:[0-9a-f]{12}( [a-z-]+:[0-9a-f]{12})*")


@dataclass(frozen=True, slots=True)
class SonarQube:
    """Keeps a copy of the value: one Azure DevOps setting of a SonarQube server.

    `url` is the server's, https, without a slash at its end; `token_secret_name` the Key Vault secret that holds the
    token of its administrator.
    """

    url: str
    alm_setting: str
    token_secret_name: str

    kind = "sonarqube"
    keeps_copy = True
    place = "an ALM setting"
    """Where its copy is, in words for a mistake."""

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The secrets of the credentials' vault that open it."""
        return (self.token_secret_name,)

    @property
    def server(self) -> str:
        """What fails as one: other settings of it are not tried after a failure that is not the setting's own."""
        return f"{self.url} {self.token_secret_name}"

    @property
    def text(self) -> str:
        """What the tag says where it is the only one."""
        return f"{self.kind} {self.url} {self.alm_setting}"

    def __str__(self) -> str:
        return f"SonarQube {self.url} ({self.alm_setting})"


@dataclass(frozen=True, slots=True)
class ServiceConnection:
    """Keeps a copy of the value: a service connection of an Azure DevOps project, which patrol's own identity
    administers.
    """

    organization: str
    project: str
    id: str

    kind = "service-connection"
    keeps_copy = True
    secret_names = ()
    place = "a service connection"

    @property
    def server(self) -> str:
        """As of SonarQube."""
        return f"service connections of {self.organization.casefold()}"

    @property
    def text(self) -> str:
        """As of SonarQube. The id alone says which: projects are renamed."""
        return f"{self.kind} {self.organization} {self.id}"

    def __str__(self) -> str:
        return f"The service connection {self.id} of {self.organization}/{self.project}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Keeps no copy: it is told that a new version is current, and never the value."""

    url_secret_name: str
    signing_secret_name: str = ""
    allow_private: bool = False

    kind = "webhook"
    keeps_copy = False
    place = "a webhook"

    @property
    def secret_names(self) -> tuple[str, ...]:
        """As of SonarQube."""
        return tuple(filter(None, (self.url_secret_name, self.signing_secret_name)))

    @property
    def server(self) -> str:
        """As of SonarQube."""
        return f"webhook {self.url_secret_name.casefold()}"

    @property
    def text(self) -> str:
        """As of SonarQube."""
        return f"{self.kind} {self.url_secret_name}"

    def __str__(self) -> str:
        return f"The webhook {self.url_secret_name}"


Consumer = SonarQube | ServiceConnection | Webhook

Keys = tuple[SecretText, ...]
"""The values of a consumer's `secret_names`, in their order."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a consumer is given: the value of a secret's current version, which holds the PAT of `username`.

    `published_at`: vault time; `owner`: whom pats.yaml names for it, if anybody.
    """

    run_id: str
    vault: str
    secret: str
    version: str
    username: str
    organization: str
    expires_on: datetime | None
    published_at: datetime
    value: SecretText
    owner: str = ""


def taker(consumer: Consumer) -> Taker:
    """How a tag names this consumer among several."""
    return _named(consumer.kind, hashlib.sha256(consumer.text.encode()).hexdigest())


def takers(tag: str) -> frozenset[Taker]:
    """Who has taken a value, by the tag `pushed-to` of its version.

    One consumer is written in words, or as their digest where they are long; several by name.
    """
    if not tag:
        return frozenset()
    if _TAKERS.fullmatch(tag):
        return frozenset(tag.split(" "))
    if tag.startswith("sha256:"):
        return frozenset({_named("sonarqube", tag.removeprefix("sha256:"))})
    return frozenset({_named(tag.partition(" ")[0], hashlib.sha256(tag.encode()).hexdigest())})


def keeps_copy(one: Taker) -> bool:
    """Whether it has a copy that must not die; what was only told has none."""
    return not one.startswith("webhook:")


def has_taken(tag: str, consumer: Consumer) -> bool:
    """Whether the tag says so of this very consumer: another setting or server is another consumer."""
    return taker(consumer) in takers(tag)


def with_taker(tag: str, consumer: Consumer) -> str:
    """The tag once this consumer has taken the value too."""
    before = takers(tag) - {taker(consumer)}
    if not before:
        return fitting(consumer.text)
    return _written({*before, taker(consumer)}, taker(consumer))


def without_taker(tag: str, consumer: Consumer) -> str:
    """The tag once nobody can tell any more that this consumer has the value."""
    before = takers(tag)
    return _written(before - {taker(consumer)}, "") if taker(consumer) in before else tag


def widest_tag(consumers: Iterable[Consumer]) -> str:
    """The tag once all of them have taken the value."""
    tag = ""
    for consumer in consumers:
        tag = with_taker(tag, consumer)
    return tag


def _named(kind: str, digest: str) -> Taker:
    return f"{kind}:{digest[:12]}"


def _written(names: Iterable[Taker], newest: Taker) -> str:
    """Those that keep no copy are left out first where not all fit, and never the newest."""
    kept = sorted(names, key=lambda name: (name == newest, keeps_copy(name), name), reverse=True)
    while len(" ".join(kept)) > LONGEST_TAG:
        kept.pop()
    return " ".join(sorted(kept))
