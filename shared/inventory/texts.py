"""What one text of `pats.yaml` may be; the command line asks the same of its words.

The standard library alone. No message repeats the text that it judges: somebody who puts a password where a name
belongs must not find it in a log.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from shared.inventory import portal_scopes
from shared.model import durations
from shared.model.secret_text import looks_like_a_pat, printable
from shared.model.tags import OWN_PREFIXES
from shared.model.vaults import host_of, wrong_address

GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
SECRET_NAME = r"[0-9A-Za-z-]{1,127}"
SECRET_REFERENCE = rf"([0-9A-Za-z][0-9A-Za-z.-]{{0,252}}/)?{SECRET_NAME}"
"""As callers name a secret: where several vaults have one of its name, with the vault's label or host before it."""
ORGANIZATION = r"[0-9A-Za-z]([0-9A-Za-z-]{0,48}[0-9A-Za-z])?"
SHARE = r"[1-9][0-9]?%"
SERVER = r"https://[0-9A-Za-z.:\[\]-]+(/[0-9A-Za-z._~/-]*)?"
ALM_SETTING = r"[ -~]{0,199}[!-~]"
PROJECT = r"""[^\\/:*?"<>|;#${},+=\[\]\s._]([^\\/:*?"<>|;#${},+=\[\]\t\n\r]{0,62}[^\\/:*?"<>|;#${},+=\[\]\s.])?"""
SCOPE = r"[!-~]+"
OWNER = r"[^\s@<>()\[\],;:\"\\]{1,64}@[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+"
# Without a tense, because nobody tells these messages the date.
PLACEHOLDER = r"your-(tenant|organization)|0{8}-0{4}-0{4}-0{4}-0{12}"
"""What pats.example.yaml has where names of one's own belong."""
GLOBAL_PATS = "patrol makes no PATs for all organizations: none works from 2026-12-01 on; name one organization"


def guid(text: str) -> str:
    """In lower case. Raises ValueError, in words."""
    _own(text)
    if not re.fullmatch(GUID, text):
        raise ValueError("must be a guid, such as 11111111-2222-3333-4444-555555555555")
    return text.lower()


def _own(text: str) -> None:
    if re.search(PLACEHOLDER, text):
        raise ValueError("is the placeholder of pats.example.yaml: write your own")


def duration(text: str) -> str:
    """Raises ValueError, in words."""
    if not re.fullmatch(durations.PATTERN, text):
        raise ValueError("is not a duration: write a whole number and d, h or m, such as 30d")
    return text


def margin(text: str) -> str:
    """A duration, or a share of the lifetime. Raises ValueError, in words."""
    if text.endswith("%"):
        return share(text)
    if durations.parse(duration(text)) == timedelta(0):
        raise ValueError("must be longer than nothing: a PAT is replaced before it expires")
    return text


def share(text: str) -> str:
    """Raises ValueError, in words."""
    if not re.fullmatch(SHARE, text):
        raise ValueError("is not a share: write a whole number from 1 to 99 and %, such as 25%")
    return text


def secret_name(text: str) -> str:
    """Raises ValueError, in words."""
    if not re.fullmatch(SECRET_NAME, text):
        raise ValueError("must be the name of a Key Vault secret: 1 to 127 letters, digits and hyphens")
    if looks_like_a_pat(text):
        raise ValueError("looks like a PAT: name the Key Vault secret here, and revoke that PAT")
    own = next((prefix for prefix in OWN_PREFIXES if text.lower().startswith(prefix)), None)
    if own is not None:
        raise ValueError(f"must not begin with {own}: such names are patrol's own")
    return text


def secret_reference(text: str) -> str:
    """Raises ValueError, in words."""
    vault, slash, name = text.rpartition("/")
    secret_name(name if slash else text)
    if slash and (not re.fullmatch(SECRET_REFERENCE, text) or looks_like_a_pat(vault)):
        raise ValueError(
            "must be the name of a Key Vault secret, with no more before it than its vault's label: kv-agents/build-pat"
        )
    return text


def vault_address(text: str) -> str:
    """A vault's host. Raises ValueError, in words."""
    problem = wrong_address(text)
    if problem is not None:
        raise ValueError(f"{problem}: write a vault's address, such as https://contoso.vault.azure.net")
    return host_of(text)


def organization_name(text: str) -> str:
    """Raises ValueError, in words."""
    _own(text)
    if text.lower() in ("*", "all", "all organizations", "all_orgs"):
        raise ValueError(GLOBAL_PATS)
    if looks_like_a_pat(text):
        raise ValueError("looks like a PAT: name the organization here, and revoke that PAT")
    if not re.fullmatch(ORGANIZATION, text):
        raise ValueError("is not an organization's name: 1 to 50 letters, digits and hyphens, no URL")
    return text


def user_name(text: str) -> str:
    """Raises ValueError, in words."""
    _own(text)
    if "#EXT#" in text.upper():
        raise ValueError(
            "is a guest: a guest's password is another tenant's, so it cannot sign in here; use a member of this tenant"
        )
    if re.fullmatch(GUID, text):
        raise ValueError(
            "is an id, as a service principal has: a user is written as svc-agents@contoso.com, and what needs no user "
            "goes under service_principals"
        )
    # 64 and 113 characters are the limits of Entra ID.
    plain = re.fullmatch(r"[^\s@/\\:?#%<>]{1,64}@[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+", text)
    if not plain or len(text) > 113 or not text.isprintable():
        raise ValueError("is not a user principal name, such as svc-agents@contoso.com")
    return text


def owner(text: str) -> str:
    """Whom to write to. Raises ValueError, in words."""
    if not re.fullmatch(OWNER, text) or len(text) > 254 or not text.isprintable():
        raise ValueError("is not an e-mail address, such as team-web@contoso.com")
    return text


def tenant_name(text: str) -> str:
    """Raises ValueError, in words."""
    _own(text)
    if text.lower() in ("common", "organizations", "consumers"):
        raise ValueError("name one tenant: signing in with a password needs its domain or its id")
    if not re.fullmatch(rf"{GUID}|[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+", text):
        raise ValueError("is neither a domain of the tenant nor its id")
    return text


def verify_path(text: str) -> str:
    """Below the organization, without a slash at its front. Raises ValueError, in words."""
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


def scope(text: str) -> str:
    """Whether it can be one; that patrol knows it is not asked here. Raises ValueError, in words."""
    name = portal_scopes.meant(text)
    if name is not None and name != text:
        raise ValueError(f"is the portal's spelling: `{portal_scopes.NAMES[name]}` is {name}")
    if not re.fullmatch(SCOPE, text):
        raise ValueError("is not one scope: write each as an entry of its own, without spaces")
    return text


def server(text: str) -> str:
    """SonarQube's address without a slash at its end. Raises ValueError, in words."""
    try:
        parts = urlsplit(text)
        plain = bool(parts.hostname) and parts.port != 0 and not {".", ".."} & set(parts.path.split("/"))
    except ValueError:
        plain = False
    # Only https: the new PAT and an administrator's token travel there.
    if not plain or not re.fullmatch(SERVER, text) or looks_like_a_pat(text):
        raise ValueError("must be SonarQube's own https address, such as https://sonar.contoso.com, without a query")
    return text.rstrip("/")


def alm_setting(text: str) -> str:
    """Raises ValueError that names the character which does not belong there, and nothing else of the text."""
    if re.fullmatch(ALM_SETTING, text) and not looks_like_a_pat(text):
        return text
    says = "must be the key of an Azure DevOps setting in SonarQube: 1 to 200 characters of plain ASCII"
    odd = re.search(r"[^ -~]", text)
    if odd is not None and len(text) <= 200:
        says += f", and its character {odd.start() + 1} is {character(odd[0])}"
    elif text.endswith(" ") and len(text) <= 200:
        says += ", and it ends with a space"
    raise ValueError(says)


def project_name(text: str) -> str:
    """A project's name or id. Raises ValueError, in words."""
    if not re.fullmatch(PROJECT, text) or printable(text) != text or looks_like_a_pat(text):
        raise ValueError("must be the name or the id of a project of Azure DevOps: 1 to 64 characters, and no URL")
    return text


def if_it_is(check: Callable[[str], str], text: object) -> str:
    """The text as it may be repeated: "" unless `check` takes it."""
    if not isinstance(text, str):
        return ""
    try:
        check(text)
    except ValueError:
        return ""
    return text


def character(letter: str) -> str:
    """As a message may show it: itself where it can be seen, and its number."""
    number = f"U+{ord(letter):04X}"
    return f"`{letter}` ({number})" if printable(letter) == letter else number
