"""The app's settings; the only module that reads the environment (as a mapping that the doors hand in)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from shared import durations
from shared.errors import Code, Misconfigured
from shared.tags import Mark

DEFAULT_AUTHORITY = "login.microsoftonline.com"
SHORTEST_BUDGET, LONGEST_BUDGET = timedelta(minutes=1), timedelta(minutes=25)
MOST_PARALLEL = 64


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table; `read_by` is "code", or "host" where only the Functions host resolves it."""

    name: str
    meaning: str
    default: str
    read_by: str = "code"


SETTINGS = (
    Setting("KEY_VAULT_URL", "vault of the published PATs", "required"),
    Setting("CREDENTIALS_VAULT_URL", "vault of the technical users' credentials", "`KEY_VAULT_URL`"),
    Setting("PATS_FILE", "the inventory; a relative path is relative to `function_app.py`", "pats.yaml"),
    Setting("DEPLOYMENT_NAME", "the readable part of the mark", "first label of the vault's host"),
    Setting("ROTATION_SCHEDULE", "NCRONTAB, UTC; resolved by the host", "0 0 */6 * * *", "host"),
    Setting("RUN_BUDGET", "how long one run may work, 1m to 25m", "20m"),
    Setting("PARALLEL_USERS", "technical users worked on at once, 1 to 64", "8"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    key_vault_url: str
    credentials_vault_url: str
    pats_file: Path
    deployment_name: str
    run_budget: timedelta
    parallel_users: int
    authority_host: str = DEFAULT_AUTHORITY

    @property
    def vault_host(self) -> str:
        return (urlsplit(self.key_vault_url).hostname or "").lower()

    @property
    def mark(self) -> Mark:
        return Mark.of(self.deployment_name, self.vault_host)


def read(environ: Mapping[str, str], root: Path) -> Settings:
    """Read all settings; `root` is the folder of function_app.py. Raises one Misconfigured that names every mistake."""
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    defaults = {setting.name: setting.default for setting in SETTINGS}
    problems: list[str] = []

    def vault(name: str, fallback: str) -> str:
        url = given.get(name, fallback)
        if not url:
            problems.append(
                f"{name} is missing: set it to the vault's address, such as https://contoso.vault.azure.net"
            )
        elif problem := _wrong_url(url):
            problems.append(f"{name} {problem}: write it as https://contoso.vault.azure.net")
        return url.rstrip("/")

    key_vault = vault("KEY_VAULT_URL", "")
    credentials = vault("CREDENTIALS_VAULT_URL", key_vault) if key_vault else ""
    host = urlsplit(key_vault).hostname or "" if not problems else ""
    deployment = given.get("DEPLOYMENT_NAME", host.partition(".")[0] or "unnamed")
    if not re.fullmatch(r"[0-9A-Za-z-]{1,40}", deployment):
        problems.append("DEPLOYMENT_NAME takes 1 to 40 letters, digits and hyphens")
    budget = _budget(given.get("RUN_BUDGET", defaults["RUN_BUDGET"]), problems)
    parallel = given.get("PARALLEL_USERS", defaults["PARALLEL_USERS"])
    if not (parallel.isascii() and parallel.isdecimal() and 1 <= int(parallel) <= MOST_PARALLEL):
        problems.append(f"PARALLEL_USERS takes a whole number from 1 to {MOST_PARALLEL}")
        parallel = "1"
    authority = given.get("AZURE_AUTHORITY_HOST", DEFAULT_AUTHORITY)
    authority = urlsplit(authority if "//" in authority else f"https://{authority}").hostname or ""
    if not authority:
        problems.append(f"AZURE_AUTHORITY_HOST takes a host such as {DEFAULT_AUTHORITY}")
    if problems:
        raise Misconfigured(
            Code.SETTINGS_INVALID,
            f"{'; '.join(problems)}.",
            "Correct the app settings (Bicep, local.settings.json or the environment).",
        )
    path = root / given.get("PATS_FILE", defaults["PATS_FILE"])
    return Settings(key_vault, credentials, path, deployment, budget, int(parallel), authority)


def _wrong_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not an address"
    host = parts.hostname or ""
    if parts.scheme != "https":
        return "does not begin with https://"
    if "." not in host or _is_address(host):
        return "does not name a vault's host"
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username or port not in (None, 443):
        return "is more than a vault's host"
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _budget(text: str, problems: list[str]) -> timedelta:
    try:
        budget = durations.parse(text)
    except ValueError as problem:
        problems.append(f"RUN_BUDGET: {problem}")
        return SHORTEST_BUDGET
    if not SHORTEST_BUDGET <= budget <= LONGEST_BUDGET:
        # The host ends an invocation after 30 minutes (functionTimeout in host.json).
        problems.append("RUN_BUDGET takes 1m to 25m, within functionTimeout of host.json")
    return budget
