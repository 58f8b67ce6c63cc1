"""Who answered: the service that was asked, in its own words, or somebody in between.

Every adapter judges by this room alone. A refusal counts only in the words of the service that was asked, and only
where the word belongs to the status; then nothing happened. Whatever else comes back was said by a proxy, a gateway or
a firewall, perhaps after the effect: it is doubt for a write and no answer for a read, whatever its status (rule 2).
No text of a body goes further than here: only code words, numbers, and the host of a redirect are shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import HttpResponseError

LONGEST_WORD: Final = 64

_WORD = re.compile(rf"[A-Za-z][A-Za-z0-9_.]{{0,{LONGEST_WORD - 1}}}")
_CODE_AND_NUMBER = re.compile(r"(TF|VS)\d{4,9}(?!\d)")
_AADSTS = re.compile(r"AADSTS(\d{4,8})(?!\d)")
_ISSUED = re.compile(r"issued on '?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")
_LONGEST_LIFE = re.compile(r"maximum allowed lifetime for this request is '?(\d{1,9})(?!\d)")
_STORAGE_XML = re.compile(rb"<Error>\s*<Code>([A-Za-z]{1,64})</Code>")
_HOST = re.compile(r"[0-9A-Za-z.-]{1,253}")

# Passing by themselves, or asked of everybody: judged by their status alone, whoever says them.
_DOUBT = frozenset({408, 425})


def code_word(text: object) -> str:
    """`text` where it looks like a service's code: a letter, then letters, digits, `_` and `.`, 64 in all; else ""."""
    return text if isinstance(text, str) and _WORD.fullmatch(text) else ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; the names of `headers` are compared without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, response: requests.Response) -> Answer:
        """What a response of requests says."""
        return cls(response.status_code, response.headers, response.content or b"")

    @classmethod
    def of_sdk(cls, failure: HttpResponseError) -> Answer | None:
        """What an Azure SDK's failure is about; None where there was no answer."""
        response: Any = failure.response
        if failure.status_code is None:
            return None
        try:
            body = bytes(response.body())
        except Exception:  # noqa: BLE001  # an answer that broke off has no body that could be read
            body = b""
        return cls(failure.status_code, response.headers, body)

    def facts(self) -> Mapping[str, Any]:
        """The body, where it is a JSON object; else nothing."""
        read = self.json()
        return read if isinstance(read, dict) else {}

    def json(self) -> Any:
        """The body as JSON; None where it is none. Some answers begin with a byte order mark."""
        try:
            return json.loads(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal in the service's own words: nothing was done. `word` is what a person may search for."""

    status: int
    word: str


# Source: Key Vault REST reference and published recordings. 401 carries the challenge, 403 and 409 an inner code: a
# gateway that says `Forbidden` has neither.
_KEY_VAULT: Final[Mapping[int, frozenset[str]]] = {
    400: frozenset({"BadParameter"}),
    401: frozenset({"Unauthorized"}),
    403: frozenset({"Forbidden"}),
    404: frozenset({"SecretNotFound"}),
    405: frozenset({"MethodNotAllowed"}),
    409: frozenset({"Conflict"}),
    429: frozenset({"Throttled"}),
}


def key_vault(answer: Answer) -> Refusal | None:
    """`error.code` that belongs to the status; the word is the inner code where there is one."""
    error = answer.facts().get("error")
    if not isinstance(error, dict) or code_word(error.get("code")) not in _KEY_VAULT.get(answer.status, ()):
        return None
    inner = error.get("innererror")
    word = code_word(inner.get("code")) if isinstance(inner, dict) else ""
    if answer.status in (403, 409) and not word:
        return None
    if answer.status == 401 and "authorization" not in (answer.headers.get("WWW-Authenticate") or "").lower():
        return None
    return Refusal(answer.status, word or code_word(error["code"]))


@dataclass(frozen=True, slots=True)
class DevOpsRefusal:
    """`type_key` and `number` (TF401444), "" where there is none; `pat_error` is a `patTokenError`."""

    status: int
    type_key: str = ""
    number: str = ""
    pat_error: str = ""

    @property
    def word(self) -> str:
        return self.pat_error or self.type_key or self.number


def azure_devops(answer: Answer) -> DevOpsRefusal | None:
    """A `patTokenError`, a `typeKey`, or a message that begins with a number such as TF400813.

    A refused sign-in may come without a body: then in the headers that Azure DevOps sends with nothing else,
    `X-TFS-ServiceError`, or `X-VSS-ResourceTenant` beside a challenge, or as its own redirect to `_signin`.
    """
    status, body = answer.status, answer.facts()
    if status in _DOUBT or status >= 500:
        return None
    word = code_word(body.get("patTokenError"))
    if word and word != "none" and body.get("patToken") is None and (status == 200 or 400 <= status < 500):
        return DevOpsRefusal(status, pat_error=word)
    if 400 <= status < 500:
        message = body.get("message")
        kind = code_word(body.get("typeKey"))
        found = _CODE_AND_NUMBER.match(message) if isinstance(message, str) else None
        if found is None:
            found = _CODE_AND_NUMBER.match(answer.headers.get("X-TFS-ServiceError") or "")
        number = found[0] if found else ""
        if kind or number or _refused_by_headers(answer):
            return DevOpsRefusal(status, kind, number)
    if 300 <= status < 400 and _is_sign_in(answer.headers.get("Location")):
        return DevOpsRefusal(status)
    return None


def _refused_by_headers(answer: Answer) -> bool:
    tenant, challenge = answer.headers.get("X-VSS-ResourceTenant"), answer.headers.get("WWW-Authenticate")
    return bool(answer.headers.get("X-TFS-ServiceError") or (answer.status == 401 and tenant and challenge))


def _is_sign_in(location: str | None) -> bool:
    try:
        parts = urlsplit(location or "")
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "https" and host.endswith(".visualstudio.com") and parts.path.startswith("/_signin")


@dataclass(frozen=True, slots=True)
class EntraRefusal:
    """`error` as OAuth has it, and the AADSTS numbers, the first of them first.

    `issued` and `longest_life`: when a refused refresh token was issued, and how long a policy lets one live, where the
    text says so. Nothing else of the text is kept.
    """

    status: int
    error: str
    numbers: tuple[int, ...]
    issued: datetime | None = None
    longest_life: timedelta | None = None

    @property
    def word(self) -> str:
        return f"AADSTS{self.numbers[0]}"


def entra(answer: Answer) -> EntraRefusal | None:
    """A JSON object whose `error` is text and that carries an AADSTS number, under 400 or 401 (rule 12)."""
    if answer.status not in (400, 401):
        return None
    body = answer.facts()
    error, codes, text = body.get("error"), body.get("error_codes"), body.get("error_description")
    if not isinstance(error, str):
        return None
    numbers = [code for code in codes if type(code) is int and 0 < code < 10**8] if isinstance(codes, list) else []
    if not numbers and isinstance(text, str) and (found := _AADSTS.match(text)):
        numbers = [int(found[1])]
    if not numbers:
        return None
    said = text if isinstance(text, str) else ""
    return EntraRefusal(answer.status, error, tuple(numbers), _issued(said), _longest_life(said))


def _issued(text: str) -> datetime | None:
    found = _ISSUED.search(text)
    try:
        return None if found is None else datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError:
        return None


def _longest_life(text: str) -> timedelta | None:
    found = _LONGEST_LIFE.search(text)
    return None if found is None else timedelta(seconds=int(found[1]))


def storage(answer: Answer) -> Refusal | None:
    """`x-ms-error-code`, which comes with every refusal, or the code of its XML."""
    if answer.status < 400 or answer.status in _DOUBT or answer.status >= 500:
        return None
    found = _STORAGE_XML.search(answer.body[:4096])
    word = code_word(answer.headers.get("x-ms-error-code")) or (found[1].decode() if found else "")
    return Refusal(answer.status, word) if word else None


def sonarqube(answer: Answer) -> Refusal | None:
    """Its JSON `errors`, whose texts are not shown."""
    if answer.status in _DOUBT or not 400 <= answer.status < 500:
        return None
    errors = answer.facts().get("errors")
    said = isinstance(errors, list) and errors and all(isinstance(one, dict) and "msg" in one for one in errors)
    return Refusal(answer.status, "") if said else None


def in_between(answer: Answer, service: str) -> str:
    """What came in place of `service`'s own answer, in words: its status, its form, where a redirect leads."""
    told = f"HTTP {answer.status}"
    where = redirected_to(answer)
    if where is not None:
        return f"{told}, redirected to {where}, and no redirect is followed"
    if not answer.body.strip():
        form = "an empty body"
    elif "html" in (answer.headers.get("Content-Type") or "").lower() or answer.body.lstrip()[:1] == b"<":
        form = "a page"
    else:
        form = "a text" if answer.json() is None else "other JSON"
    return f"{told} with {form}, not in {service}'{'' if service.endswith('s') else 's'} own words"


def redirected_to(answer: Answer) -> str | None:
    """The host of a redirect, without the rest of its address; None when it is no redirect."""
    if not 300 <= answer.status < 400:
        return None
    try:
        host = urlsplit(answer.headers.get("Location") or "").hostname or ""
    except ValueError:
        host = ""
    return host if _HOST.fullmatch(host) else "another address"


def look_between(service: str) -> str:
    """The remedy for an answer that is not `service`'s own."""
    return (
        f"Nothing to do if the next run succeeds; otherwise find what answers in place of {service}: a proxy "
        "(HTTPS_PROXY), a gateway, a firewall, a private endpoint."
    )
