"""The shape of `pats.yaml`, key by key (pydantic): what one value alone can get wrong."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from shared.inventory import scopes, texts
from shared.model import durations
from shared.model.consumers import MOST_CONSUMERS, ServiceConnection, SonarQube, Webhook
from shared.model.credentials import ClientCertificate, ClientCredential, ClientSecret, FederatedIdentity


def _given_name(name: Any) -> Any:
    # A key whose text was forgotten must not silently mean what leaving the key out means.
    if name is None:
        raise ValueError("is empty: name a secret, or leave the key out to sign in with patrol's managed identity")
    return texts.secret_name(name) if isinstance(name, str) else name


def _password_name(name: Any) -> Any:
    if name is None:
        raise ValueError("is empty: name the secret that holds the password, or write `enrolled: true` instead")
    return texts.secret_name(name) if isinstance(name, str) else name


Duration = Annotated[
    str, AfterValidator(texts.duration), WithJsonSchema({"type": "string", "pattern": f"^{durations.PATTERN}$"})
]
Margin = Annotated[
    str,
    AfterValidator(texts.margin),
    WithJsonSchema({"type": "string", "pattern": f"^({durations.PATTERN}|{texts.SHARE})$"}),
]
Share = Annotated[str, AfterValidator(texts.share), WithJsonSchema({"type": "string", "pattern": f"^{texts.SHARE}$"})]
SecretName = Annotated[
    str, AfterValidator(texts.secret_name), WithJsonSchema({"type": "string", "pattern": f"^{texts.SECRET_NAME}$"})
]
GivenName = Annotated[
    str | None,
    BeforeValidator(_given_name),
    WithJsonSchema({"type": "string", "pattern": f"^{texts.SECRET_NAME}$"}),
]
PasswordName = Annotated[
    str | None,
    BeforeValidator(_password_name),
    WithJsonSchema({"type": "string", "pattern": f"^{texts.SECRET_NAME}$"}),
]
Organization = Annotated[
    str,
    AfterValidator(texts.organization_name),
    WithJsonSchema({"type": "string", "pattern": f"^{texts.ORGANIZATION}$"}),
]
Guid = Annotated[str, AfterValidator(texts.guid), WithJsonSchema({"type": "string", "pattern": f"^{texts.GUID}$"})]
Scope = Annotated[
    str,
    AfterValidator(texts.scope),
    WithJsonSchema({"anyOf": [{"enum": sorted(scopes.KNOWN)}, {"type": "string", "pattern": f"^{texts.SCOPE}$"}]}),
]
Owner = Annotated[str, AfterValidator(texts.owner), WithJsonSchema({"type": "string", "pattern": f"^{texts.OWNER}$"})]
Vault = Annotated[
    str,
    AfterValidator(texts.vault_address),
    WithJsonSchema({"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]://[0-9A-Za-z.-]+(:443)?/*$"}),
]
Server = Annotated[
    str, AfterValidator(texts.server), WithJsonSchema({"type": "string", "pattern": f"^{texts.SERVER}$"})
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
    tenant: Annotated[str, AfterValidator(texts.tenant_name)] = Field(description="Entra tenant: a domain or its id.")
    client_id: Guid = Field(description="Client id of the app registration.")
    allowed_scopes: Annotated[list[Scope], Field(min_length=1)] | None = _told(
        "The only scopes that an item may ask for, in every file of the inventory. Without it: any."
    )
    allowed_organizations: Annotated[list[Organization], Field(min_length=1)] | None = _told(
        "The only organizations that an item may name, in every file of the inventory. Without it: any."
    )


class DefaultsPart(_Part):
    organization: Organization | None = _told("Azure DevOps organization, as in its URL.")
    lifetime: Duration | None = _told("How long a new PAT is asked for; 30d unless given.")
    rotate_before: Margin | None = _told("How long before expiry; a share of the lifetime too. 7d.")
    overlap: Duration | None = _told("How long the replaced PAT goes on working; 1d unless given.")
    strategy: Literal["rotate", "renew"] | None = _told("renew: later expiry, same value, while that helps.")
    max_age: Duration | None = _told("The longest that one value is published; 365d unless given.")
    verify: Annotated[str, AfterValidator(texts.verify_path)] | None = _told(
        "How a new PAT is proved: connection-data, or a GET path that its scopes can read."
    )
    hold_for_readers: Duration | None = _told(
        "How much longer the replaced PAT works while a reader of it has not read the new one; 0d unless given."
    )
    vault: Vault | None = _told("Address of the Key Vault it is published to; that of KEY_VAULT_URL unless given.")


class SonarQubePart(_Part):
    kind: Literal["sonarqube"] = Field(description="What keeps a copy of the PAT.")
    url: Server = Field(description="The server's https address.")
    alm_setting: Annotated[str, AfterValidator(texts.alm_setting)] = Field(
        description="Key of its Azure DevOps setting (Administration, DevOps Platform Integrations)."
    )
    token_secret_name: SecretName = Field(description="The Key Vault secret that holds an administrator's token.")

    def consumer(self) -> SonarQube:
        return SonarQube(self.url, self.alm_setting, self.token_secret_name)


class ServiceConnectionPart(_Part):
    kind: Literal["service-connection"] = Field(description="A service connection of Azure DevOps.")
    organization: Organization = Field(description="The organization that has it, as in its URL.")
    project: Annotated[str, AfterValidator(texts.project_name)] = Field(description="Its project: name or id.")
    id: Guid = Field(description="Its id, as in its address in the portal (resourceId).")

    def consumer(self) -> ServiceConnection:
        return ServiceConnection(self.organization, self.project, self.id.lower())


class WebhookPart(_Part):
    kind: Literal["webhook"] = Field(description="What is told that a new value is current, and never the value.")
    url_secret_name: SecretName = Field(description="The Key Vault secret that holds its https address.")
    signing_secret_name: SecretName | None = _told("The Key Vault secret that holds its signing key.")
    allow_private: bool = _told("true: its host may have an address of a private network.", False)

    def consumer(self) -> Webhook:
        return Webhook(self.url_secret_name, self.signing_secret_name or "", self.allow_private)


ConsumerPart = Annotated[SonarQubePart | ServiceConnectionPart | WebhookPart, Field(discriminator="kind")]
CONSUMER_PARTS: dict[str, type[SonarQubePart | ServiceConnectionPart | WebhookPart]] = {
    "sonarqube": SonarQubePart,
    "service-connection": ServiceConnectionPart,
    "webhook": WebhookPart,
}


class ItemPart(DefaultsPart):
    secret: SecretName = Field(description="The Key Vault secret that is published.")
    scopes: Annotated[list[Scope], Field(min_length=1)] = Field(description="Scopes of the PAT.")
    paused: bool = _told("true: nothing is done to it, except in an emergency.", False)
    adopt: bool | Guid = _told("Take over a secret that exists: true, or the authorization id of its PAT.", False)
    decommission: bool = _told("true: end its PAT and disable its secret.", False)
    recover_deleted: bool = _told("true: recover the secret when it is soft-deleted.", False)
    then: ConsumerPart | Annotated[list[ConsumerPart], Field(min_length=1, max_length=MOST_CONSUMERS)] | None = _told(
        "The consumer that is given each new value before the old PAT ends; or a list of them."
    )
    allow_full_access: bool = _told("true: lets scopes be [app_token].", False)
    allow_unknown_scopes: bool = _told("true: lets scopes be ones that patrol does not know.", False)


_ENROLLED: dict[str, Any] = {"required": ["enrolled"], "properties": {"enrolled": {"const": True}}}


class UserPart(_Part):
    """How it signs in, by one of two keys, is held together in examined.py, beside what else may be wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "description": "A technical user, which signs in with a password, or was enrolled by a person.",
            "oneOf": [
                {"required": ["password_secret_name"], "not": _ENROLLED},
                {**_ENROLLED, "not": {"required": ["password_secret_name"]}},
            ],
        }
    )

    username: Annotated[str, AfterValidator(texts.user_name)] = Field(description="User principal name.")
    password_secret_name: PasswordName = _told("The Key Vault secret that holds the password.")
    enrolled: bool = _told(
        "true: there is no password. A person signs in once: `patrol enroll UPN`, or POST /api/enroll.", False
    )
    owner: Owner | None = _told("Whom these PATs belong to: an e-mail address, shown in reports, notices and the page.")
    vault: Vault | None = _told("Where its PATs are published that do not say otherwise.")
    pats: list[ItemPart] | None = Field(
        default=None, description="Its PATs; [] for a former user whose PATs still end."
    )


class EntraTokenPart(_Part):
    secret: SecretName = Field(description="The Key Vault secret that is published.")
    organization: Organization | None = _told("Where a new token is proved; it works in every one of the tenant.")
    vault: Vault | None = _told("Address of the Key Vault it is published to; that of `defaults` unless given.")
    refresh_below: Share | None = _told("Replaced when less than this share of its life is left; 50% unless given.")
    paused: bool = _told("true: nothing is done to it, and it expires.", False)
    adopt: bool = _told("true: take over a secret that exists.", False)
    recover_deleted: bool = _told("true: recover the secret when it is soft-deleted.", False)


class ServicePrincipalPart(CredentialPart):
    client_id: Guid = Field(description="Client id of an app registration that is a member of the organization.")
    owner: Owner | None = _told("Whom the token belongs to: an e-mail address, shown in reports, notices and the page.")
    entra_token: EntraTokenPart = Field(description="Its access token for Azure DevOps, kept fresh in a secret.")


class RecipientPart(_Part):
    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["signing_secret_name"]},
            "then": {"properties": {"kind": {"const": "webhook"}}},
        }
    )

    kind: Literal["teams", "teams-card", "slack", "webhook"] = Field(
        description="What it understands: teams (a Workflows template), teams-card (a flow that posts the bare card), "
        "slack (an incoming webhook), webhook (CloudEvents, signed as Standard Webhooks)."
    )
    url_secret_name: SecretName = Field(description="The Key Vault secret that holds its https address.")
    signing_secret_name: SecretName | None = _told("Of a webhook: the Key Vault secret that holds its signing key.")
    on: Annotated[
        list[Literal["failed", "blocked", "warning", "emergency", "recovered", "done"]], Field(min_length=1)
    ] = Field(
        default=["failed", "blocked", "warning", "emergency", "recovered"],
        description="Which events it is told of; everything but done unless given.",
    )
    owners: Annotated[list[Owner], Field(min_length=1)] | None = _told(
        "Only of what belongs to these owners it is told. Without it: of everything."
    )
    allow_private: bool = _told("true: its host may have an address of a private network.", False)

    @model_validator(mode="after")
    def _fits_together(self) -> RecipientPart:
        if self.signing_secret_name is not None and self.kind != "webhook":
            raise ValueError(f"has a signing_secret_name, and {self.kind} checks no signature: only kind webhook does")
        if set(self.on) == {"recovered"}:
            raise ValueError("is told of recovered alone: nobody recovers from what was not told, so add failed")
        return self


class FilePart(_Part):
    """What patrol keeps fresh: technical users and their PATs."""

    sign_in: SignInPart = Field(description="The app registration that technical users sign in to.")
    defaults: DefaultsPart | None = _told("What items have that do not say otherwise.")
    users: list[UserPart] = Field(description="Technical users: one entry each.")
    administrator: Annotated[str, AfterValidator(texts.user_name)] | None = _told(
        "An enrolled user of this file that may revoke everybody's PATs (vso.tokenadministration): in an emergency it "
        "ends those of a user that cannot sign in."
    )
    service_principals: list[ServicePrincipalPart] | None = _told(
        "Service principals whose Entra token is published: one entry each."
    )
    notify: list[RecipientPart] | None = _told("Who is told what fails, ends soon or is well again: one entry each.")
