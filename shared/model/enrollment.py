"""Users without a password: what a person's sign-in at a browser gave, and what is kept of it (rule 16)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.model.ports import PatApi
    from shared.model.secret_text import SecretText


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in, as Entra ID's id token says; `object_id` in lower case, "" where it says nothing.

    `is_guest`: another directory than the tenant's own proved who it is.
    """

    username: str
    object_id: str
    is_guest: bool = False


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A refresh token, or a person's code, turned into an access token, which `api` holds and has not used yet.

    `refresh_token` takes the redeemed one's place; None where Entra ID gave none. `scopes` are what it says of the
    permissions that were granted.
    """

    api: PatApi
    refresh_token: SecretText | None
    person: Person
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SignInPage:
    """A page of Entra ID for one sign-in. `state` comes back with the answer.

    `kept` is what redeeming the answer takes (the verifier of PKCE, the nonce), as text that only its maker reads.
    """

    url: str
    state: str
    kept: SecretText


@dataclass(frozen=True, slots=True)
class Link:
    """A link by which one user can be enrolled once. Its ticket is the page's `state`."""

    username: str
    page: SignInPage
    redirect_uri: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """One version of a `patrol-enrolled-…` secret, without its refresh token. Instants in vault time.

    `enrolled_at`: when a person signed in; versions that renewed it since keep it. `longest_life`: how long a policy
    lets that sign-in last, where a refusal told it.
    """

    version: str
    created: datetime
    enrolled_at: datetime
    object_id: str
    longest_life: timedelta | None
    tags: Mapping[str, str] = field(default_factory=dict)
