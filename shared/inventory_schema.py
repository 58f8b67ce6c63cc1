"""The shape of `pats.yaml`, key by key (pydantic): what one value alone can get wrong."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from shared import durations, scopes
from shared.blocking import PREFIX

GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
SECRET_NAME = r"[0-9A-Za-z-]{1,127}"
ORGANIZATION = r"[0-9A-Za-z]([0-9A-Za-z-]{0,48}[0-9A-Za-z])?"
SHARE = r"[1-9][0-9]?%"
GLOBAL_PATS = "patrol makes no PATs for all organizations: those stop working on 2026-12-01; name one organization"


def _matching(pattern: str, says: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(says)
        return text

    return AfterValidator(check)


def _duration(text: str) -> str:
    durations.parse(text)
    return text


def _duration_or_share(text: str) -> str:
    if text.endswith("%"):
        if not re.fullmatch(SHARE, text):
            raise ValueError(f"{text!r} is not a share: write a whole number from 1 to 99 and %, such as 25%")
        return text
    return _duration(text)


def _secret_name(text: str) -> str:
    if not re.fullmatch(SECRET_NAME, text):
        raise ValueError(f"{text!r} is not a Key Vault name: 1 to 127 letters, digits and hyphens")
    if text.lower().startswith(PREFIX):
        raise ValueError(f"names that begin with {PREFIX} are patrol's own")
    return text


def _organization(text: str) -> str:
    if text.lower() in ("*", "all", "all organizations", "all_orgs"):
        raise ValueError(GLOBAL_PATS)
    if not re.fullmatch(ORGANIZATION, text):
        raise ValueError(f"{text!r} is not an organization's name: 1 to 50 letters, digits and hyphens, no URL")
    return text


def _username(text: str) -> str:
    if not re.fullmatch(r"[^\s@/\\:?#%<>\x00-\x1f]{1,64}@[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+", text) or len(text) > 113:
        raise ValueError(f"{text!r} is not a user principal name, such as svc-agents@contoso.com")
    return text


def _tenant(text: str) -> str:
    if text.lower() in ("common", "organizations", "consumers"):
        raise ValueError("name one tenant: signing in with a password needs its domain or its id")
    if not re.fullmatch(rf"{GUID}|[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+", text):
        raise ValueError(f"{text!r} is neither a domain of the tenant nor its id")
    return text


def _verify(text: str) -> str:
    path = text.lstrip("/")
    if text == "connection-data":
        return text
    plain = re.fullmatch(r"[0-9A-Za-z._~!$&'()*+,;=:@%/ -]+(\?[^#\s]*)?", path)
    where = re.match(r"(_apis/|[^/?]+/_apis/)", path)
    if "://" in text or not plain or not where or ".." in path.split("?")[0].split("/"):
        raise ValueError("write connection-data, or a GET path below the organization such as _apis/build/builds")
    return path


def _scope(text: str) -> str:
    if text != text.strip() or " " in text or not text:
        raise ValueError(f"{text!r}: write each scope as an entry of its own")
    return text


Duration = Annotated[
    str, AfterValidator(_duration), WithJsonSchema({"type": "string", "pattern": f"^{durations.PATTERN}$"})
]
DurationOrShare = Annotated[
    str,
    AfterValidator(_duration_or_share),
    WithJsonSchema({"type": "string", "pattern": f"^({durations.PATTERN}|{SHARE})$"}),
]
SecretName = Annotated[
    str, AfterValidator(_secret_name), WithJsonSchema({"type": "string", "pattern": f"^{SECRET_NAME}$"})
]
Organization = Annotated[
    str, AfterValidator(_organization), WithJsonSchema({"type": "string", "pattern": f"^{ORGANIZATION}$"})
]
Guid = Annotated[str, _matching(GUID, "must be a guid"), WithJsonSchema({"type": "string", "pattern": f"^{GUID}$"})]
Scope = Annotated[
    str,
    AfterValidator(_scope),
    WithJsonSchema({"anyOf": [{"enum": sorted(scopes.KNOWN)}, {"type": "string", "pattern": "^[^ ]+$"}]}),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _told(description: str, default: Any = None) -> Any:
    return Field(default=default, description=description)


class SignInPart(_Part):
    tenant: Annotated[str, AfterValidator(_tenant)] = Field(description="Entra tenant: a domain or its id.")
    client_id: Guid = Field(description="Client id of the app registration.")
    client_secret_name: SecretName = Field(description="The Key Vault secret that holds the client secret.")


class DefaultsPart(_Part):
    organization: Organization | None = _told("Azure DevOps organization, as in its URL.")
    lifetime: Duration | None = _told("How long a new PAT is asked for; 30d unless given.")
    rotate_before: DurationOrShare | None = _told("How long before expiry; a share of the lifetime too. 7d.")
    overlap: Duration | None = _told("How long the replaced PAT goes on working; 1d unless given.")
    strategy: Literal["rotate", "renew"] | None = _told("renew: later expiry, same value, while that helps.")
    max_age: Duration | None = _told("The longest that one value is published; 365d unless given.")
    verify: Annotated[str, AfterValidator(_verify)] | None = _told(
        "How a new PAT is proved: connection-data, or a GET path that its scopes can read."
    )


class ItemPart(DefaultsPart):
    secret: SecretName = Field(description="The Key Vault secret that is published.")
    scopes: Annotated[list[Scope], Field(min_length=1)] = Field(description="Scopes of the PAT.")
    paused: bool = _told("true: nothing is done to it, except in an emergency.", False)
    adopt: bool | Guid = _told("Take over a secret that exists: true, or the authorization id of its PAT.", False)
    decommission: bool = _told("true: end its PAT and disable its secret.", False)
    recover_deleted: bool = _told("true: recover the secret when it is soft-deleted.", False)
    allow_full_access: bool = _told("true: lets scopes be [app_token].", False)
    allow_unknown_scopes: bool = _told("true: lets scopes be ones that patrol does not know.", False)


class UserPart(_Part):
    username: Annotated[str, AfterValidator(_username)] = Field(description="User principal name.")
    password_secret_name: SecretName = Field(description="The Key Vault secret that holds the password.")
    pats: list[ItemPart] = Field(default=[], description="Its PATs; [] for a former user whose PATs still end.")


class FilePart(_Part):
    """What patrol keeps fresh: technical users and their PATs."""

    sign_in: SignInPart
    defaults: DefaultsPart = DefaultsPart()
    users: list[UserPart]
