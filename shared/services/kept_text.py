"""What a vault keeps as a credential, judged before it is sent (rule 12): people's tools add to it, or name another."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.model.secret_text import SecretText

CERTIFICATES = frozenset({"application/x-pkcs12", "application/x-pem-file"})
"""Content types that Key Vault gives the secret of a certificate."""

# A PFX in base64 without its content type: DER begins so, and no client secret or password is as long.
_LOOKS_LIKE_PFX = re.compile(r"MII[0-9A-Za-z+/=\s]{400,}")
_VISIBLE = re.compile(r"[!-~]+")

_WRITE_AGAIN = (
    "Write it again as a new version, without the line break: `az keyvault secret set --value`, or a file made by "
    "`printf %s` instead of `echo`."
)
_NAME_IT = (
    "Name the secret that holds the text itself; the certificate of an app registration belongs into "
    "`client_certificate_name`."
)


@dataclass(frozen=True, slots=True)
class Problem:
    """`what` goes on a sentence that begins with the secret's name."""

    what: str
    remedy: str


def why_not_text(value: SecretText, content_type: str) -> Problem | None:
    """Why it is not sent as a password, client secret or token; None when it may be.

    No person can type a line break into a password, so one at the end is not guessed away but told.
    """
    text = value.reveal()
    kind = content_type.partition(";")[0].strip().casefold()
    if kind in CERTIFICATES or "-----BEGIN" in text or _LOOKS_LIKE_PFX.match(text):
        return Problem("is a certificate with its private key, which is never sent", _NAME_IT)
    if text.rstrip("\r\n") != text:
        return Problem("ends with a line break, so it was not sent", _WRITE_AGAIN)
    if re.search(r"[\r\n\0]", text):
        return Problem("holds a line break, so it was not sent", _WRITE_AGAIN)
    if text.startswith("\ufeff"):
        return Problem("begins with a byte order mark, so it was not sent", _WRITE_AGAIN)
    try:
        text.encode()
    except UnicodeEncodeError:
        return Problem("holds half a character, so it was not sent", "Write it again as a new version.")
    return None


def why_not_header(value: SecretText) -> Problem | None:
    """Why it cannot be a token in an Authorization header; None when it can."""
    if _VISIBLE.fullmatch(value.reveal()):
        return None
    return Problem(
        "holds a blank or a letter that no token has, so it was not sent",
        "Copy the token again, and write it as a new version.",
    )


def around(value: SecretText) -> str:
    """What stands around a text that was refused, in words for people to compare; "" where there is nothing odd."""
    text = value.reveal()
    if text != text.strip():
        return "It begins or ends with a blank: is that a part of it?"
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`":
        return "It stands in quotation marks: are they a part of it?"
    return ""
