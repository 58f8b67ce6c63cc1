"""The environment of a product process: an allow list, because a stray proxy or AZURE_ variable changes everything."""

from __future__ import annotations

import os
from pathlib import Path

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV", "USERPROFILE")


def product_environment(
    *,
    proxy: int,
    identity: int,
    header: str,
    bundle: Path,
    key_vault: str,
    credentials_vault: str,
    identity_client: str | None = None,
) -> dict[str, str]:
    """What the sandbox adds. Ports on loopback; vaults as host names; the user-assigned identity's client id."""
    proxy_url = f"http://127.0.0.1:{proxy}"
    direct = "127.0.0.1,localhost"
    user_assigned = {} if identity_client is None else {"AZURE_CLIENT_ID": identity_client}
    return {
        **user_assigned,
        "HTTPS_PROXY": proxy_url,
        "https_proxy": proxy_url,
        "HTTP_PROXY": proxy_url,
        "http_proxy": proxy_url,
        "NO_PROXY": direct,
        "no_proxy": direct,
        "REQUESTS_CA_BUNDLE": str(bundle),
        "SSL_CERT_FILE": str(bundle),
        "NODE_EXTRA_CA_CERTS": str(bundle),
        "IDENTITY_ENDPOINT": f"http://127.0.0.1:{identity}/msi/token",
        "IDENTITY_HEADER": header,
        "KEY_VAULT_URL": f"https://{key_vault}",
        "CREDENTIALS_VAULT_URL": f"https://{credentials_vault}",
    }


def kept_environment() -> dict[str, str]:
    """What a product process keeps of this process's own."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}
