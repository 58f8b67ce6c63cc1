"""The shape of `pats.yaml`, key by key (pydantic): what one value alone can get wrong."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from shared.inventory import scopes
from shared.model import durations
from shared.model.credentials import ClientCertificate, ClientCredential, ClientSecret, FederatedIdentity
from shared.model.secret_text import looks_like_a_pat, quoted
from shared.model.tags import BLOCKED_PREFIX

GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
SECRET_NAME = r"[0-9A-Za-z-]{1,127}"
ORGANIZATION = r"[0-9A-Za-z]([0-9A-Za-z-]{0,48}[0-9A-Za-z])?"
SHARE = r"[1-9][0-9]?%"
SERVER = r"https://[0-9A-Za-z.:\[\]-]+(/[0-9A-Za-z._~/-]*)?"
ALM_SETTING = r"[ -~]{0,199}[!-~]"
SCOPE = r"[!-~]+"
# Without a tense, because nobody tells these messages the date.
GLOBAL_PATS = "patrol makes no PATs for all organizations: none works from 2026-12-01 on; name one organization"


def guid(text: str) -> str:
    if not re.fullmatch(GUID, text):
        raise ValueError("must be a guid, such as 11111111-2222-3333-4444-555555555555")
    return text.lower()


def _duration(text: str) -> str:
    durations.parse(text)
    return text


def _duration_or_share(text: str) -> str:
    if text.endswith("%"):
        if not re.fullmatch(SHARE, text):
            raise ValueError(f"{text!r} is not a share: write a whole number from 1 to 99 and %, such as 25%")
        return text
    return _duration(text)


def _margin(text: str) -> str:
    if not text.endswith("%") and durations.parse(text) == timedelta(0):
        raise ValueError("must be longer than nothing: a PAT is replaced before it expires")
    return _duration_or_share(text)


def _share(text: str) -> str:
    if not re.fullmatch(SHARE, text):
        raise ValueError(f"{text!r} is not a share: write a whole number from 1 to 99 and %, such as 50%")
    return text


def secret_name(text: str) -> str:
    # The text is not repeated: somebody who puts a password where its secret's name belongs must not find it in a log.
    if not re.fullmatch(SECRET_NAME, text):
        raise ValueError("must be the name of a Key Vault secret: 1 to 127 letters, digits and hyphens")
    if looks_like_a_pat(text):
        raise ValueError("looks like a PAT: name the Key Vault secret here, and revoke that PAT")
    if text.lower().startswith(BLOCKED_PREFIX):
        raise ValueError(f"must not begin with {BLOCKED_PREFIX}: such names are patrol's own")
    return text


def _given_name(name: Any) -> Any:
    # A key whose text was forgotten must not silently mean what leaving the key out means.
    if name is None:
        raise ValueError("is empty: name a secret, or leave the key out to sign in with patrol's managed identity")
    return secret_name(name) if isinstance(name, str) else name


def organization_name(text: str) -> str:
    if text.lower() in ("*", "all", "all organizations", "all_orgs"):
        raise ValueError(GLOBAL_PATS)
    if not re.fullmatch(ORGANIZATION, text):
        raise ValueError(f"{quoted(text)} is not an organization's name: 1 to 50 letters, digits and hyphens, no URL")
    return text


def user_name(text: str) -> str:
    # 64 and 113 characters are the limits of Entra ID.
    plain = re.fullmatch(r"[^\s@/\\:?#%<>]{1,64}@[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+", text)
    if not plain or len(text) > 113 or not text.isprintable():
        raise ValueError(f"{quoted(text)} is not a user principal name, such as svc-agents@contoso.com")
    return text


def tenant_name(text: str) -> str:
    if text.lower() in ("common", "organizations", "consumers"):
        raise ValueError("name one tenant: signing in with a password needs its domain or its id")
    if not re.fullmatch(rf"{GUID}|[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+", text):
        raise ValueError(f"{text!r} is neither a domain of the tenant nor its id")
    return text


def verify_path(text: str) -> str:
    if text == "connection-data":
        return text
    path, _, query = text.removeprefix("/").partition("?")
    plain = re.fullmatch(r"[0-9A-Za-z._~!$&'()*+,;=@%/ -]+", path) and re.fullmatch(r"[!-~]*", query)
    # Decoded, because HTTP libraries decode `%2e%2e` before they walk up a path.
    parts = unquote(path).split("/")
    below = parts[0] == "_apis" or (parts[0] and parts[1:2] == ["_apis"])
    if not plain or "#" in query or not below or {".", ".."} & set(parts) or len(parts) < 2:
        raise ValueError("must be connection-data, or a GET path below the organization such as _apis/build/builds")
    return text.removeprefix("/")


def _scope(text: str) -> str:
    if not re.fullmatch(SCOPE, text):
        raise ValueError(f"{quoted(text)} is not one scope: write each as an entry of its own, without spaces")
    return text


def _server(text: str) -> str:
    try:
        parts = urlsplit(text)
        plain = bool(parts.hostname) and parts.port != 0 and not {".", ".."} & set(parts.path.split("/"))
    except ValueError:
        plain = False
    # Only https: the new PAT and an administrator's token travel there.
    if not plain or not re.fullmatch(SERVER, text) or looks_like_a_pat(text):
        raise ValueError("must be SonarQube's own https address, such as https://sonar.contoso.com, without a query")
    return text.rstrip("/")


def _alm_setting(text: str) -> str:
    if not re.fullmatch(ALM_SETTING, text) or looks_like_a_pat(text):
        raise ValueError("must be the key of an Azure DevOps setting in SonarQube: 1 to 200 characters")
    return text


Duration = Annotated[
    str, AfterValidator(_duration), WithJsonSchema({"type": "string", "pattern": f"^{durations.PATTERN}$"})
]
Margin = Annotated[
    str,
    AfterValidator(_margin),
    WithJsonSchema({"type": "string", "pattern": f"^({durations.PATTERN}|{SHARE})$"}),
]
Share = Annotated[str, AfterValidator(_share), WithJsonSchema({"type": "string", "pattern": f"^{SHARE}$"})]
SecretName = Annotated[
    str, AfterValidator(secret_name), WithJsonSchema({"type": "string", "pattern": f"^{SECRET_NAME}$"})
]
GivenName = Annotated[
    str | None, BeforeValidator(_given_name), WithJsonSchema({"type": "string", "pattern": f"^{SECRET_NAME}$"})
]
Organization = Annotated[
    str, AfterValidator(organization_name), WithJsonSchema({"type": "string", "pattern": f"^{ORGANIZATION}$"})
]
Guid = Annotated[str, AfterValidator(guid), WithJsonSchema({"type": "string", "pattern": f"^{GUID}$"})]
Scope = Annotated[
    str,
    AfterValidator(_scope),
    WithJsonSchema({"anyOf": [{"enum": sorted(scopes.KNOWN)}, {"type": "string", "pattern": f"^{SCOPE}$"}]}),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _told(description: str, default: Any = None) -> Any:
    return Field(default=default, description=description)


class CredentialPart(_Part):
    """By what an app registration proves itself: one of the two, or neither."""

    model_config = ConfigDict(
        json_schema_extra={"not": {"required": ["client_secret_name", "client_certificate_name"]}}
    )

    client_secret_name: GivenName = _told(
        "The Key Vault secret that holds the client secret. Without it and without a certificate the app registration "
        "trusts patrol's managed identity (federated credential), and there is nothing that expires."
    )
    client_certificate_name: GivenName = _told(
        "The Key Vault certificate that is the app registration's credential, instead of a client secret."
    )

    def credential(self) -> ClientCredential:
        if self.client_secret_name is not None:
            return ClientSecret(self.client_secret_name)
        if self.client_certificate_name is not None:
            return ClientCertificate(self.client_certificate_name)
        return FederatedIdentity()

    @model_validator(mode="after")
    def _one_credential(self) -> CredentialPart:
        if self.client_secret_name is not None and self.client_certificate_name is not None:
            raise ValueError(
                "names both client_secret_name and client_certificate_name: leave one of them out, or both, to sign in "
                "with patrol's managed identity"
            )
        return self


class SignInPart(CredentialPart):
    tenant: Annotated[str, AfterValidator(tenant_name)] = Field(description="Entra tenant: a domain or its id.")
    client_id: Guid = Field(description="Client id of the app registration.")


class DefaultsPart(_Part):
    organization: Organization | None = _told("Azure DevOps organization, as in its URL.")
    lifetime: Duration | None = _told("How long a new PAT is asked for; 30d unless given.")
    rotate_before: Margin | None = _told("How long before expiry; a share of the lifetime too. 7d.")
    overlap: Duration | None = _told("How long the replaced PAT goes on working; 1d unless given.")
    strategy: Literal["rotate", "renew"] | None = _told("renew: later expiry, same value, while that helps.")
    max_age: Duration | None = _told("The longest that one value is published; 365d unless given.")
    verify: Annotated[str, AfterValidator(verify_path)] | None = _told(
        "How a new PAT is proved: connection-data, or a GET path that its scopes can read."
    )


class SonarQubePart(_Part):
    kind: Literal["sonarqube"] = Field(description="What keeps a copy of the PAT.")
    url: Annotated[str, AfterValidator(_server), WithJsonSchema({"type": "string", "pattern": f"^{SERVER}$"})] = Field(
        description="The server's https address."
    )
    alm_setting: Annotated[str, AfterValidator(_alm_setting)] = Field(
        description="Key of its Azure DevOps setting (Administration, DevOps Platform Integrations)."
    )
    token_secret_name: SecretName = Field(description="The Key Vault secret that holds an administrator's token.")


class ItemPart(DefaultsPart):
    secret: SecretName = Field(description="The Key Vault secret that is published.")
    scopes: Annotated[list[Scope], Field(min_length=1)] = Field(description="Scopes of the PAT.")
    paused: bool = _told("true: nothing is done to it, except in an emergency.", False)
    adopt: bool | Guid = _told("Take over a secret that exists: true, or the authorization id of its PAT.", False)
    decommission: bool = _told("true: end its PAT and disable its secret.", False)
    recover_deleted: bool = _told("true: recover the secret when it is soft-deleted.", False)
    then: SonarQubePart | None = _told("The consumer that is given each new value before the old PAT ends.")
    allow_full_access: bool = _told("true: lets scopes be [app_token].", False)
    allow_unknown_scopes: bool = _told("true: lets scopes be ones that patrol does not know.", False)


class UserPart(_Part):
    username: Annotated[str, AfterValidator(user_name)] = Field(description="User principal name.")
    password_secret_name: SecretName = Field(description="The Key Vault secret that holds the password.")
    pats: list[ItemPart] | None = Field(
        default=None, description="Its PATs; [] for a former user whose PATs still end."
    )


class EntraTokenPart(_Part):
    secret: SecretName = Field(description="The Key Vault secret that is published.")
    organization: Organization | None = _told("Where a new token is proved; it works in every one of the tenant.")
    refresh_below: Share | None = _told("Replaced when less than this share of its life is left; 50% unless given.")
    paused: bool = _told("true: nothing is done to it, and it expires.", False)
    adopt: bool = _told("true: take over a secret that exists.", False)
    recover_deleted: bool = _told("true: recover the secret when it is soft-deleted.", False)


class ServicePrincipalPart(CredentialPart):
    client_id: Guid = Field(description="Client id of an app registration that is a member of the organization.")
    entra_token: EntraTokenPart = Field(description="Its access token for Azure DevOps, kept fresh in a secret.")


class FilePart(_Part):
    """What patrol keeps fresh: technical users and their PATs."""

    sign_in: SignInPart = Field(description="The app registration that technical users sign in to.")
    defaults: DefaultsPart | None = _told("What items have that do not say otherwise.")
    users: list[UserPart] = Field(description="Technical users: one entry each.")
    service_principals: list[ServicePrincipalPart] | None = _told(
        "Service principals whose Entra token is published: one entry each."
    )
