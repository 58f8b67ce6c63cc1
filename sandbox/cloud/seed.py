"""Estates as data: how a JSON description becomes the cloud's state, and the demo estate.

Instants in a description are ISO 8601 or relative to now: `+5d`, `-3h`, `-90s` (d, h, m, s).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sandbox.cloud import service_connections
from sandbox.cloud.assertions import FederatedCredential, issuer_of
from sandbox.cloud.cloud import Cloud
from sandbox.cloud.entra_estate import App
from sandbox.cloud.pat_values import read_instant, write_instant
from sandbox.cloud.sonarqube import AzureSetting

TENANT = "contoso.onmicrosoft.com"
TENANT_ID = "72f00000-0000-4000-8000-000000000001"
CLIENT = "11111111-2222-3333-4444-555555555555"
IDENTITY_CLIENT = "1d000000-0000-4000-8000-000000000001"
IDENTITY_PRINCIPAL = "1d000000-0000-4000-8000-000000000002"
FEDERATED = {
    "issuer": issuer_of(TENANT_ID),
    "subject": IDENTITY_PRINCIPAL,
    "audience": "api://AzureADTokenExchange",
}
"""The federated credential by which the app registration trusts the app's user-assigned identity."""
PATS_VAULT = "patrol-demo-pats.vault.azure.net"
CREDENTIALS_VAULT = "patrol-demo-creds.vault.azure.net"
WEB_VAULT = "patrol-demo-web.vault.azure.net"
WEB_SECRET = "web-deploy-pat"
AGENTS = "svc-agents@contoso.com"
SONAR = "svc-sonar@contoso.com"
PERSON = "alice@contoso.com"
ORGANIZATIONS = {
    "contoso": "0c000000-0000-4000-8000-000000000001",
    "fabrikam": "0f000000-0000-4000-8000-000000000002",
}
CONTENT_TYPE = "application/vnd.patrol.azure-devops-pat"
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def instant(text: str | None, now: datetime) -> datetime | None:
    """Read an instant of a description. Raises ValueError."""
    if text is None:
        return None
    if text[:1] in "+-" and text[-1:] in _UNITS:
        return now + timedelta(**{_UNITS[text[-1]]: float(text[:-1])})
    return read_instant(text)


def apply(cloud: Cloud, estate: dict[str, Any]) -> None:
    """Add everything `estate` describes to `cloud`. Raises KeyError or ValueError for a description that is not one.

    Keys, all optional: `tenants` [{domain, guid}], `clients` [{client_id, and what `change_client` takes}],
    `users` [{upn, password, state, enrolled_in: host of the vault that holds the refresh token}],
    `organizations` [{name, guid, members, administrators}], `identity` {client_ids, principal_id},
    `federations` [{domain, host, accounts: {upn: password}, cloud_passwords}],
    `workload_identities` [{client_id, issuer, subject, audience}],
    `pats` [{owner, organization, display_name, scope, valid_from, valid_to, revoked, all_orgs, authorization_id}],
    `vaults` [{host, secrets: [{name, value | value_of, tags, content_type, expires, enabled, created, deleted}]}].
    `sonarqubes` [{host, tokens: [{value, admin}], azure: [{key, url, pat_of}], one_setting}].
    `service_connections` [{organization, project, id, url, kind, scheme, administrators, pat_of, used}]; the managed
    identity's subject may stand among `members` and `administrators` as `identity`.
    `recipients` [{host, kind, key, vault, secret}]: takes notices; its address is put into that secret of that vault.
    `value_of` and `pat_of` are the authorization id of a PAT; a name that comes twice is a newer version.
    """
    now = cloud.now()
    with cloud.lock:
        _add_directory(cloud, estate)
        for row in estate.get("organizations", []):
            home = cloud.pats.add_organization(row["name"], row.get("guid"), set(row.get("members", [])))
            home.administrators = {upn.lower() for upn in row.get("administrators", [])}
        _add_identities(cloud, estate)
        for home in cloud.pats.organizations():
            home.members = {cloud.identity.subject if one == "identity" else one for one in home.members}
        for row in estate.get("pats", []):
            _add_pat(cloud, row, now)
        for row in estate.get("vaults", []):
            _add_vault(cloud, row, now)
        for row in estate.get("users", []):
            if "enrolled_in" in row:
                enroll(cloud, row["upn"], row["enrolled_in"])
        for row in estate.get("service_connections", []):
            _add_connection(cloud, row, now)
        for row in estate.get("sonarqubes", []):
            _add_sonarqube(cloud, row)
        for row in estate.get("recipients", []):
            url = cloud.add_recipient(row["host"], row["kind"], row.get("key", ""))
            cloud.vaults[row["vault"]].seed(row["secret"], url, created=now)


def _add_directory(cloud: Cloud, estate: Mapping[str, Any]) -> None:
    for row in estate.get("tenants", []):
        cloud.directory.add_tenant(row["domain"], row.get("guid"))
    for row in estate.get("clients", []):
        consented = set(row["consented"]) if "consented" in row else None
        app = cloud.directory.add_app(row["client_id"], *row.get("secrets", []), consented=consented)
        change_client(cloud, app, row)
    for row in estate.get("users", []):
        cloud.directory.add_user(row["upn"], row["password"], row.get("state", "normal"))
    for row in estate.get("federations", []):
        federation = cloud.directory.federate(row["domain"], row["host"])
        federation.accounts |= {upn.lower(): password for upn, password in row.get("accounts", {}).items()}
        federation.cloud_passwords = bool(row.get("cloud_passwords"))


def _add_identities(cloud: Cloud, estate: Mapping[str, Any]) -> None:
    identity = estate.get("identity", {})
    cloud.identity.client_ids |= set(identity.get("client_ids", []))
    cloud.identity.subject = identity.get("principal_id", cloud.identity.subject)
    for row in estate.get("workload_identities", []):
        trusted = {name: row[name] for name in ("issuer", "subject", "audience") if name in row}
        cloud.workloads.trust(row["client_id"], FederatedCredential(**trusted))


def _add_connection(cloud: Cloud, row: Mapping[str, Any], now: datetime) -> None:
    names = {"identity": cloud.identity.subject}
    more = {key: row[key] for key in ("kind", "scheme") if key in row}
    made = service_connections.new(row["organization"], row["project"], row["id"], row["url"], now, **more)
    made.administrators = {names.get(one, one.lower()) for one in row.get("administrators", [])}
    made.used = instant(row["used"], now) if "used" in row else None
    if "pat_of" in row:
        made.secrets = dict.fromkeys(made.secrets, cloud.pats.pat(row["pat_of"]).value)
    cloud.connections[made.id] = made


def _add_sonarqube(cloud: Cloud, row: Mapping[str, Any]) -> None:
    server = cloud.add_sonarqube(row["host"])
    server.tokens |= {cloud.chance.remember(token["value"]): token.get("admin", True) for token in row["tokens"]}
    server.one_setting = bool(row.get("one_setting"))
    for setting in row.get("azure", []):
        pat = cloud.pats.pat(setting["pat_of"]).value if "pat_of" in setting else ""
        server.azure[setting["key"]] = AzureSetting(setting["key"], setting["url"], pat)


def enroll(cloud: Cloud, upn: str, vault_host: str, *, client_id: str = CLIENT, tenant: str = TENANT) -> str:
    """As if a person had enrolled the user just now: the refresh token in its secret. Gives the secret's name."""
    now = cloud.now()
    token = cloud.directory.enroll(upn, client_id)
    name = f"patrol-enrolled-{hashlib.sha256(upn.casefold().encode()).hexdigest()[:12]}"
    tags = {
        "managed-by": deployment(),
        "username": upn,
        "tenant": tenant,
        "client-id": client_id,
        "object-id": token.user_id,
        "enrolled-at": write_instant(now.replace(microsecond=0)),
    }
    kind, ends = "application/vnd.patrol.refresh-token", int((now + timedelta(days=90)).timestamp())
    cloud.vaults[vault_host].seed(name, token.refresh_token, created=now, tags=tags, content_type=kind, expires=ends)
    return name


def change_client(cloud: Cloud, app: App, row: Mapping[str, Any]) -> None:
    """Change an app registration, key by key; what is not given stays as it is.

    `secrets` and `expired_secrets` [text], `certificates` [PEM], `federated` [{issuer, subject, audience}],
    `consented` [bare scopes of Azure DevOps], `delegated` {resource: [bare scopes]}, `redirect_uris` [text],
    `disabled`, `public`.
    """
    if "secrets" in row:
        app.secrets = {cloud.chance.remember(secret) for secret in row["secrets"]}
    if "expired_secrets" in row:
        app.expired_secrets = {cloud.chance.remember(secret) for secret in row["expired_secrets"]}
    if "certificates" in row:
        app.trusted.certificates.clear()
        for pem in row["certificates"]:
            app.trusted.add_certificate(pem)
    if "federated" in row:
        app.trusted.federated = [FederatedCredential(**one) for one in row["federated"]]
    if "delegated" in row:
        app.delegated = {resource.lower().rstrip("/"): set(scopes) for resource, scopes in row["delegated"].items()}
    if "redirect_uris" in row:
        app.redirect_uris = set(row["redirect_uris"])
    if "consented" in row:
        app.consented = set(row["consented"])
    app.disabled, app.public = bool(row.get("disabled", app.disabled)), bool(row.get("public", app.public))


def _add_pat(cloud: Cloud, row: dict[str, Any], now: datetime) -> None:
    cloud.pats.seed(
        row["owner"],
        row["organization"],
        row["display_name"],
        row.get("scope", "vso.code"),
        valid_from=instant(row.get("valid_from"), now),
        valid_to=instant(row.get("valid_to"), now),
        revoked=bool(row.get("revoked")),
        all_orgs=bool(row.get("all_orgs")),
        authorization_id=row.get("authorization_id"),
    )


def _add_vault(cloud: Cloud, row: dict[str, Any], now: datetime) -> None:
    vault = cloud.vaults.get(row["host"].lower()) or cloud.add_vault(row["host"])
    for secret in row.get("secrets", []):
        known = secret.get("value_of")
        expires = instant(secret.get("expires"), now)
        if known is not None:
            pat = cloud.pats.pat(known)
            value, expires = pat.value, expires or pat.valid_to
        else:
            value = secret["value"]
        tags = {name: _resolve(text, now) for name, text in secret.get("tags", {}).items()}
        vault.seed(
            secret["name"],
            value,
            created=instant(secret.get("created"), now),
            tags=tags,
            content_type=secret.get("content_type"),
            enabled=secret.get("enabled", True),
            expires=None if expires is None else int(expires.timestamp()),
        )
        if secret.get("deleted"):
            vault.delete(secret["name"])
    vault.settle()


def _resolve(text: str, now: datetime) -> str:
    """Tags may hold `id@-1d`: the relative instant becomes whole seconds of UTC."""
    words = []
    for word in text.split(" "):
        head, mark, tail = word.partition("@")
        relative = bool(mark) and tail[:1] in ("+", "-")
        at = instant(tail, now) if relative else None
        words.append(f"{head}@{write_instant(at.replace(microsecond=0))}" if at is not None else word)
    return " ".join(words)


def deployment(vault_host: str = PATS_VAULT, name: str | None = None) -> str:
    """`patrol/<deployment>-<6 hex of SHA-256 of the vault's host>`: the tag `managed-by`."""
    short = hashlib.sha256(vault_host.encode()).hexdigest()[:6]
    return f"patrol/{name or vault_host.partition('.')[0]}-{short}"


def mark(secret: str, vault_host: str = PATS_VAULT, name: str | None = None) -> str:
    """The display name of the PAT behind `secret`."""
    return f"{deployment(vault_host, name)}/{secret}"


def _id(number: int) -> str:
    return f"a0000000-0000-4000-8000-{number:012d}"


def _pat(number: int, secret: str, scope: str, span: tuple[str, str], **more: Any) -> dict[str, Any]:
    base = {"owner": AGENTS, "organization": "contoso", "display_name": mark(secret), "scope": scope}
    start, end = span
    return {**base, "valid_from": start, "valid_to": end, "authorization_id": _id(number), **more}


def _published(pat: dict[str, Any], predecessors: str = "") -> dict[str, Any]:
    """The secret that holds `pat`, with the tags of a managed one."""
    tags = {
        "managed-by": deployment(),
        "authorization-id": pat["authorization_id"],
        "organization": pat["organization"],
        "organization-id": ORGANIZATIONS[pat["organization"]],
        "username": pat["owner"],
        "scopes": " ".join(sorted(pat["scope"].split())),
    }
    if predecessors:
        tags["predecessors"] = predecessors
    return {
        "name": pat["display_name"].rpartition("/")[2],
        "value_of": pat["authorization_id"],
        "content_type": CONTENT_TYPE,
        "created": pat["valid_from"],
        "tags": tags,
    }


def small_estate() -> dict[str, Any]:
    """What most tests need: one tenant, client and user, one organization, two vaults with credentials, no PATs."""
    demo = demo_estate()
    organization = {"name": "contoso", "guid": ORGANIZATIONS["contoso"], "members": [AGENTS]}
    vaults = [{"host": PATS_VAULT, "secrets": []}, demo["vaults"][1]]
    users = [row for row in demo["users"] if row["upn"] == AGENTS]
    return {**demo, "users": users, "organizations": [organization], "pats": [], "vaults": vaults}


def demo_estate() -> dict[str, Any]:
    """Two users, two organizations, a team's vault of its own, and PATs in every state an operator meets."""
    healthy = _pat(1, "agents-linux-pat", "vso.agentpools_manage", ("-5d", "+25d"))
    near = _pat(2, "agents-windows-pat", "vso.agentpools_manage", ("-25d", "+5d"))
    expired = _pat(3, "build-feed-pat", "vso.packaging", ("-40d", "-10d"))
    revoked = _pat(4, "release-notes-pat", "vso.work vso.code", ("-3d", "+27d"), revoked=True)
    before = _pat(5, "wiki-export-pat", "vso.wiki", ("-27d", "+3d"))
    after = _pat(6, "wiki-export-pat", "vso.wiki", ("-3d", "+27d"))
    fabrikam = {"owner": SONAR, "organization": "fabrikam"}
    renewed = _pat(7, "sonarqube-pat", "vso.code vso.code_status", ("-85d", "+5d"), **fabrikam)
    own = _pat(8, "x", "vso.code", ("-10d", "+80d"), display_name="agents-linux-pat")
    foreign = _pat(9, "agents-linux-pat", "vso.agentpools_manage", ("-10d", "+20d"), owner=PERSON)
    legacy = _pat(10, "x", "vso.build", ("-60d", "+30d"), display_name="legacy tool, made by hand")
    secrets = [_published(pat) for pat in (healthy, near, expired, revoked, before, renewed)]
    secrets.append(_published(after, predecessors=f"{_id(5)}@-2d"))
    secrets.append({"name": "legacy-tool-pat", "value_of": _id(10), "created": "-60d"})
    credentials = [
        {"name": "patrol-client-secret", "value": "sandbox-client-secret-demo", "created": "-90d"},
        {"name": "svc-agents-password", "value": "sandbox-password-agents", "created": "-90d"},
        {"name": "svc-sonar-password", "value": "sandbox-password-sonar", "created": "-90d"},
    ]
    return {
        "tenants": [{"domain": TENANT, "guid": TENANT_ID}],
        "clients": [{"client_id": CLIENT, "secrets": ["sandbox-client-secret-demo"], "federated": [FEDERATED]}],
        "identity": {"client_ids": [IDENTITY_CLIENT], "principal_id": IDENTITY_PRINCIPAL},
        "users": [
            {"upn": AGENTS, "password": "sandbox-password-agents"},
            {"upn": SONAR, "password": "sandbox-password-sonar", "enrolled_in": CREDENTIALS_VAULT},
            {"upn": PERSON, "password": "sandbox-password-alice"},
        ],
        "organizations": [
            {"name": name, "guid": guid, "members": [AGENTS, SONAR, PERSON]} for name, guid in ORGANIZATIONS.items()
        ],
        "pats": [healthy, near, expired, revoked, before, after, renewed, own, foreign, legacy],
        "vaults": [
            {"host": PATS_VAULT, "secrets": secrets},
            {"host": CREDENTIALS_VAULT, "secrets": credentials},
            {"host": WEB_VAULT, "secrets": []},
        ],
    }


def demo_pats_yaml() -> str:
    """The inventory that fits `demo_estate`."""
    return f"""\
sign_in:
  tenant: {TENANT}
  client_id: {CLIENT}                 # trusts the app's managed identity: there is no client secret
defaults:
  organization: contoso
  lifetime: 30d
  rotate_before: 7d
  overlap: 1d
users:
  - username: {AGENTS}
    password_secret_name: svc-agents-password
    pats:
      - secret: agents-linux-pat        # healthy
        scopes: [vso.agentpools_manage]
      - secret: agents-windows-pat      # near expiry
        scopes: [vso.agentpools_manage]
      - secret: build-feed-pat          # expired
        scopes: [vso.packaging]
      - secret: new-pipeline-pat        # neither a secret nor a PAT yet
        scopes: [vso.build_execute]
      - secret: release-notes-pat       # a person revoked its PAT
        scopes: [vso.code, vso.work]
      - secret: wiki-export-pat         # its predecessor's overlap is over
        scopes: [vso.wiki]
      - secret: legacy-tool-pat         # made by hand, to be taken over
        scopes: [vso.build]
        adopt: true
      - secret: {WEB_SECRET}          # missing too; the web team reads it in a vault of its own
        scopes: [vso.release_execute]
        vault: https://{WEB_VAULT}
  - username: {SONAR}
    enrolled: true                      # a person signed in once, with MFA: there is no password
    pats:
      - secret: sonarqube-pat           # near expiry, renewed instead of rotated
        organization: fabrikam
        scopes: [vso.code, vso.code_status]
        lifetime: 90d
        strategy: renew
"""
