"""`service_principals:` of `pats.yaml`: one service principal each, and the secret that holds its Entra token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.inventory import texts
from shared.inventory.bounds import Bounds
from shared.inventory.mistakes import Found, sentence, shown, validate
from shared.inventory.names import Names
from shared.inventory.parts import Part
from shared.inventory.schema import ServicePrincipalPart
from shared.inventory.vaults import Vaults
from shared.inventory.yaml_text import Place
from shared.model.items import InvalidItem, TokenItem
from shared.model.vaults import VaultAddress

KEY = "service_principals"


@dataclass(slots=True)
class Principals:
    """What was read: the tokens a refresh can work on, those that fail alone, and every problem."""

    tokens: list[TokenItem] = field(default_factory=list)
    invalid: list[InvalidItem] = field(default_factory=list)
    problems: list[Found] = field(default_factory=list)

    def add(self, other: Principals) -> None:
        """What another file has."""
        self.tokens += other.tokens
        self.invalid += other.invalid
        self.problems += other.problems


def read(
    part: Part,
    defaults: Mapping[str, str],
    bad_defaults: Mapping[str, str],
    credentials: frozenset[str],
    named: Names,
    bounds: Bounds,
    vaults: Vaults,
) -> Principals:
    """`named`: where each secret was named so far; those of tokens are added."""
    found = Principals()
    raw, at = part.raw.get(KEY), (*part.at, KEY)
    if raw is None:
        return found
    if not isinstance(raw, list):
        problem = Found(at, "must be a list of service principals")
        found.problems.append(problem)
        # Without an item to fail, the tokens would drop out without a word.
        found.invalid.append(InvalidItem(shown(at), "", "", sentence([problem])))
        return found
    for number, entry in enumerate(raw):
        context = _Context(defaults, bad_defaults, credentials, named, bounds, vaults)
        _principal((*at, number), entry, context, found)
    return found


@dataclass(frozen=True, slots=True)
class _Context:
    defaults: Mapping[str, str]
    bad_defaults: Mapping[str, str]
    credentials: frozenset[str]
    named: Names
    bounds: Bounds
    vaults: Vaults


def _principal(path: Place, raw: Any, context: _Context, found: Principals) -> None:
    part, problems = validate(ServicePrincipalPart, raw, path)
    given = _mapping(raw)
    token = _mapping(given.get("entra_token"))
    client_id = texts.if_it_is(texts.guid, given.get("client_id"))
    secret = texts.if_it_is(texts.secret_name, token.get("secret"))
    name = secret or shown((*path, "entra_token"))
    at: Place = (*path, "entra_token", "secret")
    vault, known, wrong = context.vaults.of(
        at[:-1], (token.get("vault"),), context.defaults.get("vault"), context.bad_defaults.get("vault")
    )
    problems += wrong
    if secret and known:
        _name(at, secret, vault, context, problems)
    organization = ""
    if part is not None:
        organization = part.entra_token.organization or context.defaults.get("organization", "")
        if not organization:
            problems.append(_without_organization((*path, "entra_token"), context))
        problems += context.bounds.outside((*path, "entra_token"), (), organization)
    found.problems += problems
    if part is not None and not problems:
        found.tokens.append(
            TokenItem(
                secret=part.entra_token.secret,
                client_id=part.client_id,
                credential=part.credential(),
                organization=organization,
                refresh_below=int((part.entra_token.refresh_below or "50%").removesuffix("%")),
                paused=part.entra_token.paused,
                adopt=part.entra_token.adopt,
                recover_deleted=part.entra_token.recover_deleted,
                owner=part.owner or "",
                vault=vault,
            )
        )
        return
    own = texts.if_it_is(texts.organization_name, token.get("organization"))
    owner = texts.if_it_is(texts.owner, given.get("owner"))
    found.invalid.append(InvalidItem(name, client_id, own, sentence(problems), owner=owner, vault=vault))


def _name(at: Place, secret: str, vault: VaultAddress, context: _Context, problems: list[Found]) -> None:
    problems += context.named.take(secret, vault, at, at)
    if secret.casefold() in context.credentials:
        problems.append(Found(at, f"{secret} holds a credential; publish the token under another name"))


def _without_organization(path: Place, context: _Context) -> Found:
    says = context.bad_defaults.get("organization")
    if says is None:
        return Found(path, "has no organization, and `defaults` names none")
    return Found(path, f"needs `organization` of the defaults, and that {says}", echo=True)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
