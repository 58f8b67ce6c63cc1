"""Where the Functions host keeps its own things: `AzureWebJobsStorage…`, read as the host reads it.

Source: Azure Functions, "Connecting to host storage with an identity". `AzureWebJobsStorage` is a connection string;
without it `AzureWebJobsStorage__accountName`, or the addresses of the services, are opened by identity.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.model.secret_text import SecretText

NAME = "AzureWebJobsStorage"
ACCOUNT, BLOBS, QUEUES = f"{NAME}__accountName", f"{NAME}__blobServiceUri", f"{NAME}__queueServiceUri"
CREDENTIAL, CLIENT = f"{NAME}__credential", f"{NAME}__clientId"
MANAGED = "managedidentity"

_DEVELOPMENT = "UseDevelopmentStorage=true"


@dataclass(frozen=True, slots=True)
class ByConnectionString:
    text: SecretText


@dataclass(frozen=True, slots=True)
class ByIdentity:
    """`managed`: a managed identity, `client_id` the user-assigned one; else whoever patrol itself is signed in as.

    `queue_url` is empty where only the address of the blobs is given.
    """

    blob_url: str
    queue_url: str
    managed: bool = False
    client_id: str | None = None


Storage = ByConnectionString | ByIdentity


def read(given: Mapping[str, str], problems: list[str]) -> Storage | None:
    """Read the host's settings; None: no storage is configured, or it is wrong and `problems` says how."""
    text = given.get(NAME, "")
    named = [name for name in (ACCOUNT, BLOBS, QUEUES) if name in given]
    if text and named:
        problems.append(f"{NAME} is given as well as {named[0]}: keep one of the two")
        return None
    if text:
        return _by_connection_string(text, problems)
    return _by_identity(given, problems) if named else None


def _by_connection_string(text: str, problems: list[str]) -> Storage | None:
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    parts = {name.strip().casefold(): value.strip() for name, _, value in pairs}
    if parts.get("usedevelopmentstorage", "").casefold() == "true":
        return ByConnectionString(SecretText(_DEVELOPMENT))
    key, signature = parts.get("accountkey", ""), parts.get("sharedaccesssignature", "")
    account, endpoint = parts.get("accountname", ""), parts.get("blobendpoint", "")
    opens = (account and _is_base64(key)) or signature
    if not opens or not (_is_account(account) if account else _is_address(endpoint, "http", "https")):
        # Nothing of the text is shown: any part of it may be the key.
        problems.append(
            f"{NAME} is not a connection string: copy it from the storage account's access keys, or give {ACCOUNT} "
            "instead to open it by identity"
        )
        return None
    return ByConnectionString(SecretText(text))


def _by_identity(given: Mapping[str, str], problems: list[str]) -> Storage | None:
    account, credential = given.get(ACCOUNT, ""), given.get(CREDENTIAL, "")
    blobs, queues = given.get(BLOBS, ""), given.get(QUEUES, "")
    before = len(problems)
    if account and not _is_account(account):
        problems.append(f"{ACCOUNT} is not valid: set it to the account's name, 3 to 24 lower-case letters and digits")
    for name, url in ((BLOBS, blobs), (QUEUES, queues)):
        if url and not _is_address(url, "https"):
            example = f"https://contoso.{'blob' if name == BLOBS else 'queue'}.core.windows.net"
            problems.append(f"{name} is not valid: set it to an address such as {example}, without key or signature")
    if not account and not blobs:
        problems.append(f"{BLOBS} is missing: set it beside {QUEUES}, or set {ACCOUNT} instead of both")
    if credential and credential.casefold() != MANAGED:
        problems.append(f"{CREDENTIAL} is not valid: set it to {MANAGED}, or leave it out")
    if given.get(CLIENT) and not credential:
        problems.append(f"{CREDENTIAL} is missing: set it to {MANAGED} beside {CLIENT}")
    if len(problems) > before:
        return None
    if account:
        blobs = blobs or f"https://{account}.blob.core.windows.net"
        queues = queues or f"https://{account}.queue.core.windows.net"
    return ByIdentity(blobs.rstrip("/"), queues.rstrip("/"), bool(credential), given.get(CLIENT))


def _is_account(text: str) -> bool:
    return re.fullmatch(r"[0-9a-z]{3,24}", text) is not None


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def _is_address(url: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and not re.search(r"[?#@\s]", url)
