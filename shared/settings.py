"""The app's settings; the only module that reads the environment (as a mapping that the doors hand in)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from shared.model import durations
from shared.model.errors import Code, Misconfigured
from shared.model.secret_text import SecretText
from shared.model.tags import Mark
from shared.model.vaults import HOST_NAME, host_of, wrong_address
from shared.services import blob_address, host_storage
from shared.services.blob_address import BlobAddress
from shared.services.host_storage import ByConnectionString, Storage

ROOT = Path(__file__).resolve().parent.parent
"""Where `function_app.py` and `pats.yaml` lie."""

DEFAULT_AUTHORITY = "login.microsoftonline.com"
_VAULT_ID = (
    r"/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/?#\s]{1,90}/providers/Microsoft\.KeyVault/vaults/[0-9a-z-]{3,24}"
)
_OBJECT_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

_PATS_FILE = "pats.yaml"
# Defaults that are no value of their own, in the words of the settings table.
_REQUIRED, _SAME_VAULT, _FIRST_LABEL = "required", "`KEY_VAULT_URL`", "first label of the vault's host"
_WITH_CREDENTIALS = "`CREDENTIALS_VAULT_URL`"
_NO_LOGS = _NOBODY = "none"

SHORTEST_BUDGET, LONGEST_BUDGET = timedelta(minutes=1), timedelta(minutes=25)
# Azure's load balancer ends an HTTP request after 230 s, whatever the host would allow.
SHORTEST_REQUEST, LONGEST_REQUEST = timedelta(seconds=5), timedelta(seconds=200)
MOST_PARALLEL = 64
# What azure-identity can be told to use (AZURE_TOKEN_CREDENTIALS) that AZURE_CLIENT_ID is read for; "": no choice.
_HOSTED = frozenset({"", "prod", "managedidentitycredential", "workloadidentitycredential"})
NEVER, MOST_USERS = "never", 1_000_000
# What Flex Consumption scales out to at most.
MOST_INSTANCES = 1000


_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u201e\u00ab"

HttpAuth = Literal["function-key", "entra"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table; `read_by` is "code", or "host" where only the Functions host resolves it."""

    name: str
    meaning: str
    default: str
    read_by: Literal["code", "host"] = "code"


SETTINGS = (
    Setting("KEY_VAULT_URL", "vault of the published PATs", _REQUIRED),
    Setting("CREDENTIALS_VAULT_URL", "vault of the technical users' credentials", _SAME_VAULT),
    Setting("ENROLLMENTS_VAULT_URL", "vault of the refresh tokens of enrolled users", _WITH_CREDENTIALS),
    Setting(
        "PATS_FILE",
        "the inventory: a file or folder, from `function_app.py` or else the current folder; or a blob's https address",
        _PATS_FILE,
    ),
    Setting("DEPLOYMENT_NAME", "the readable part of the mark", _FIRST_LABEL),
    Setting("ROTATION_SCHEDULE", "NCRONTAB, UTC; resolved by the host", "0 0 */6 * * *", "host"),
    Setting("RUN_BUDGET", "how long one run may work, 1m to 25m", "20m"),
    Setting("HTTP_BUDGET", "how long one HTTP request may work, 5s to 200s", "45s"),
    Setting("PARALLEL_USERS", "technical users worked on at once, 1 to 64", "8"),
    Setting("FAN_OUT_ABOVE", "technical users from which the queue takes over; 0: always, `never`: never", "25"),
    Setting("QUEUE_INSTANCES", "instances that may work off the queue at once, and share what the vault takes", "40"),
    Setting(
        "VAULT_LOGS", "resource ids of the vaults whose logs tell who reads; several with commas between", _NO_LOGS
    ),
    Setting("KNOWN_READERS", "object ids of who reads the PATs by right; several with commas between", _NOBODY),
    Setting("HTTP_AUTH", "`function-key`, or `entra` (App Service authentication with app roles)", "function-key"),
)


_OWN = frozenset(
    {*(setting.name for setting in SETTINGS), "AZURE_CLIENT_ID", "AZURE_AUTHORITY_HOST", "AZURE_TOKEN_CREDENTIALS"}
)
"""What is read, but for the host's storage, which has a room of its own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All app settings, judged; addresses of vaults are in one spelling, so that equal ones are one vault."""

    key_vault_url: str
    credentials_vault_url: str
    enrollments_vault_url: str
    pats_file: Path | BlobAddress
    deployment_name: str
    run_budget: timedelta
    parallel_users: int
    authority_host: str = DEFAULT_AUTHORITY
    identity_client_id: str | None = None
    """The user-assigned managed identity that signs in for the app registration (`AZURE_CLIENT_ID`)."""
    http_budget: timedelta = timedelta(seconds=45)
    http_auth: HttpAuth = "function-key"
    platform_authenticates: bool = False
    """Whether App Service authentication stands in front (`WEBSITE_AUTH_ENABLED`, set by the platform)."""
    site: str = ""
    """The app's own address, without a slash at its end (`WEBSITE_HOSTNAME`, set by the platform); "" on a laptop."""
    fan_out_above: int | None = 25
    """Above so many technical users the queue takes over; None: never."""
    queue_instances: int = 40
    identity_by_environment: bool = False
    """Whether azure-identity was asked by name to sign in with the AZURE_... variables (AZURE_TOKEN_CREDENTIALS)."""
    client_has_secret: bool = False
    """Whether AZURE_CLIENT_ID would pick an identity, and stands beside a secret or password as in other tools."""
    vault_logs: tuple[str, ...] = ()
    """Resource ids of the vaults whose logs tell who reads (rule 18)."""
    known_readers: frozenset[str] | None = None
    """Object ids, in lower case, of who reads by right; None: nobody said."""
    storage: Storage | None = None
    """The Functions host's own; None on a laptop or in a cron job."""

    @property
    def identity(self) -> tuple[bool, bool]:
        """How patrol's own is found: see `identity_of`."""
        return self.identity_by_environment, self.client_has_secret

    @property
    def has_queue(self) -> bool:
        """Whether the host's storage has a queue that messages can be sent to."""
        return isinstance(self.storage, ByConnectionString) or (
            self.storage is not None and bool(self.storage.queue_url)
        )

    @property
    def vault_host(self) -> str:
        """In lower case."""
        return (urlsplit(self.key_vault_url).hostname or "").lower()

    @property
    def mark(self) -> Mark:
        """Of this deployment (rule 3)."""
        return Mark.of(self.deployment_name, self.vault_host)


def read(environ: Mapping[str, str], root: Path) -> Settings:
    """Read all settings; `root` is what PATS_FILE is relative to. Raises one Misconfigured that names every mistake."""
    given = {setting.name: setting.default for setting in SETTINGS}
    given |= {name: value.strip() for name, value in environ.items() if value.strip()}
    problems: list[str] = []
    key_vault, credentials, enrollments = _vaults(given, problems)
    deployment = _deployment(given["DEPLOYMENT_NAME"], key_vault, problems)
    budget = _budget(given["RUN_BUDGET"], problems)
    request_budget = _request_budget(given["HTTP_BUDGET"], problems)
    http_auth = _http_auth(given["HTTP_AUTH"], problems)
    parallel = _number("PARALLEL_USERS", given, 1, MOST_PARALLEL, problems)
    fan_out = None if given["FAN_OUT_ABOVE"] == NEVER else _number("FAN_OUT_ABOVE", given, 0, MOST_USERS, problems)
    instances = _number("QUEUE_INSTANCES", given, 1, MOST_INSTANCES, problems)
    authority = _authority(given.get("AZURE_AUTHORITY_HOST", DEFAULT_AUTHORITY), problems)
    inventory = _inventory(given["PATS_FILE"], root, authority, problems)
    storage = host_storage.read(given, problems)
    logs = _vault_logs(given["VAULT_LOGS"], problems)
    known_readers = _known_readers(given["KNOWN_READERS"], problems)
    by_environment, has_secret = identity_of(environ)
    _stop_at(_unspoilt(environ, problems))
    return Settings(
        key_vault_url=key_vault,
        credentials_vault_url=credentials,
        enrollments_vault_url=enrollments,
        pats_file=inventory,
        deployment_name=deployment,
        run_budget=budget,
        parallel_users=parallel,
        fan_out_above=fan_out,
        queue_instances=instances,
        identity_by_environment=by_environment,
        client_has_secret=has_secret,
        authority_host=authority,
        identity_client_id=given.get("AZURE_CLIENT_ID"),
        http_budget=request_budget,
        http_auth=http_auth,
        platform_authenticates=given.get("WEBSITE_AUTH_ENABLED", "").casefold() == "true",
        storage=storage,
        vault_logs=logs,
        known_readers=known_readers,
        site=_site(given.get("WEBSITE_HOSTNAME", "")),
    )


def _vaults(given: Mapping[str, str], problems: list[str]) -> tuple[str, str, str]:
    """Those of the PATs, of the credentials and of the enrollments."""
    key_vault = _vault("KEY_VAULT_URL", given, problems)
    credentials = key_vault
    if given["CREDENTIALS_VAULT_URL"] != _SAME_VAULT:
        credentials = _vault("CREDENTIALS_VAULT_URL", given, problems)
    enrollments = credentials
    if given["ENROLLMENTS_VAULT_URL"] != _WITH_CREDENTIALS:
        enrollments = _vault("ENROLLMENTS_VAULT_URL", given, problems)
    return key_vault, credentials, enrollments


def _vault_logs(text: str, problems: list[str]) -> tuple[str, ...]:
    """Resource ids of vaults, with commas or spaces between them."""
    if text == _NO_LOGS:
        return ()
    found = tuple(word for word in re.split(r"[\s,]+", text) if word)
    if not found or not all(re.fullmatch(_VAULT_ID, word, re.IGNORECASE) for word in found):
        problems.append(
            "VAULT_LOGS is not valid: set it to resource ids of vaults, such as /subscriptions/…/resourceGroups/…"
            "/providers/Microsoft.KeyVault/vaults/contoso"
        )
        return ()
    return found


def _known_readers(text: str, problems: list[str]) -> frozenset[str] | None:
    """Object ids, as those of VAULT_LOGS."""
    if text == _NOBODY:
        return None
    found = frozenset(word.casefold() for word in re.split(r"[\s,]+", text) if word)
    if not found or not all(re.fullmatch(_OBJECT_ID, word) for word in found):
        problems.append(
            "KNOWN_READERS is not valid: set it to object ids, such as 44444444-0000-4000-8000-000000000001, or to none"
        )
    return found


def _site(host: str) -> str:
    """Entra ID comes back over http to this machine alone."""
    if not re.fullmatch(r"[0-9A-Za-z.-]{1,253}(:[0-9]{1,5})?", host):
        return ""
    return f"http://{host}" if host.partition(":")[0] == "localhost" else f"https://{host}"


def _stop_at(problems: list[str]) -> None:
    """Raises one Misconfigured that names all of them; with none it does nothing."""
    if problems:
        failure = Misconfigured(
            Code.SETTINGS_INVALID,
            f"{'; '.join(problems)}.",
            "Correct the app settings (Bicep, local.settings.json or the environment).",
        )
        failure.mistakes = tuple(f"{problem}." for problem in problems)
        raise failure


def _has_client_secret(given: Mapping[str, str]) -> bool:
    """Whether the AZURE_... variables name a client and its secret or password, as other tools read them."""
    return "AZURE_CLIENT_ID" in given and bool({"AZURE_CLIENT_SECRET", "AZURE_PASSWORD"} & given.keys())


def _unspoilt(environ: Mapping[str, str], problems: list[str]) -> list[str]:
    """The problems, where a setting holds what no setting can: told for what it is, and not for what it breaks.

    Each problem begins with the setting's name.
    """
    spoilt = {name: says for name in sorted(_OWN & environ.keys()) if (says := _spoilt(environ[name].strip()))}
    kept = [problem for problem in problems if problem.partition(" ")[0] not in spoilt]
    return [*(f"{name} {says}" for name, says in spoilt.items()), *kept]


def _spoilt(text: str) -> str:
    """What happened to a setting on its way here; "" for nothing that can be seen."""
    if text.startswith(("@Microsoft.KeyVault(", "@Microsoft.AppConfiguration(")):
        return (
            "holds a reference that the platform did not resolve: let the app's identity read that secret, and look at "
            "the setting in the portal, which says why"
        )
    if text[:1] and text[0] in _QUOTES:
        return (
            f"begins with a quote ({text[0]}), which belongs to the shell or the file it was written in: leave it out"
        )
    return ""


def identity_of(environ: Mapping[str, str]) -> tuple[bool, bool]:
    """See `Settings.identity_by_environment` and `Settings.client_has_secret`, whatever else is wrong."""
    given = {name: value for name, value in environ.items() if value.strip()}
    chosen = given.get("AZURE_TOKEN_CREDENTIALS", "").strip().casefold()
    return chosen == "environmentcredential", chosen in _HOSTED and _has_client_secret(given)


def has_managed_identity(environ: Mapping[str, str]) -> bool:
    """Whether the platform says where one is asked, as App Service and Functions do."""
    return bool(environ.get("IDENTITY_ENDPOINT", "").strip())


def pats_file(environ: Mapping[str, str], root: Path) -> Path | BlobAddress:
    """Where the inventory lies, whatever else is wrong with the settings; `root` is what a path is relative to.

    Raises Misconfigured for an address that is none.
    """
    problems: list[str] = []
    authority = _authority(environ.get("AZURE_AUTHORITY_HOST", "").strip() or DEFAULT_AUTHORITY, [])
    found = _inventory(environ.get("PATS_FILE", "").strip() or _PATS_FILE, root, authority, problems)
    _stop_at(problems)
    return found


def _inventory(text: str, root: Path, authority: str, problems: list[str]) -> Path | BlobAddress:
    if not blob_address.looks_like_one(text):
        return root / text
    try:
        return blob_address.read(text, authority)
    except ValueError as wrong:
        problems.append(f"PATS_FILE {wrong}: set it to a path, or to a blob's address")
        return root / _PATS_FILE


def home_vault(environ: Mapping[str, str]) -> str:
    """The host of KEY_VAULT_URL, whatever else is wrong with the settings; "" where it is not set, or wrong."""
    url = environ.get("KEY_VAULT_URL", "").strip()
    return "" if wrong_address(url) else host_of(url)


def enroll_key(environ: Mapping[str, str]) -> SecretText | None:
    """The key of the deployed app's function `enroll`, for `patrol enroll --app`, where it is given."""
    text = environ.get("PATROL_ENROLL_KEY", "").strip()
    return SecretText(text) if text else None


def _vault(name: str, given: Mapping[str, str], problems: list[str]) -> str:
    """The vault's address in one spelling, so that two settings that mean one vault are equal; "" when it is wrong."""
    url = given[name]
    problem = "is missing" if url == _REQUIRED else wrong_address(url)
    if problem:
        problems.append(f"{name} {problem}: set it to the vault's address, such as https://contoso.vault.azure.net")
        return ""
    return f"https://{urlsplit(url).hostname}"


def _deployment(text: str, key_vault: str, problems: list[str]) -> str:
    name = (urlsplit(key_vault).hostname or "unnamed").partition(".")[0] if text == _FIRST_LABEL else text
    if not re.fullmatch(r"[0-9A-Za-z-]{1,40}", name):
        problems.append("DEPLOYMENT_NAME is not valid: set it to 1 to 40 letters, digits and hyphens")
    return name


def _http_auth(text: str, problems: list[str]) -> HttpAuth:
    if text == "entra":
        return "entra"
    if text != "function-key":
        problems.append("HTTP_AUTH is not valid: set it to function-key or entra")
    return "function-key"


def _authority(text: str, problems: list[str]) -> str:
    try:
        parts = urlsplit(text if "//" in text else f"https://{text}")
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme != "https" or not re.fullmatch(HOST_NAME, host):
        problems.append(f"AZURE_AUTHORITY_HOST is not valid: set it to a host such as {DEFAULT_AUTHORITY}")
    return host


def _number(name: str, given: Mapping[str, str], least: int, most: int, problems: list[str]) -> int:
    text = given[name]
    if re.fullmatch(r"[0-9]{1,7}", text) and least <= int(text) <= most:
        return int(text)
    never = f", or to {NEVER}" if name == "FAN_OUT_ABOVE" else ""
    problems.append(f"{name} is not valid: set it to a whole number from {least} to {most}{never}")
    return least


def _budget(text: str, problems: list[str]) -> timedelta:
    try:
        budget = durations.parse(text)
    except ValueError:
        budget = timedelta(0)
    if SHORTEST_BUDGET <= budget <= LONGEST_BUDGET:
        return budget
    # The host ends an invocation after 30 minutes (functionTimeout in host.json).
    problems.append("RUN_BUDGET is not valid: set it to 1m to 25m, such as 20m, within functionTimeout of host.json")
    return SHORTEST_BUDGET


def _request_budget(text: str, problems: list[str]) -> timedelta:
    try:
        budget = durations.parse_short(text)
    except ValueError:
        budget = timedelta(0)
    if SHORTEST_REQUEST <= budget <= LONGEST_REQUEST:
        return budget
    problems.append("HTTP_BUDGET is not valid: set it to 5s to 200s, such as 45s (Azure Pipelines waits 60 seconds)")
    return SHORTEST_REQUEST
