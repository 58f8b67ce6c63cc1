"""Everything random in the sandbox comes from one seeded source, which also remembers every secret it sees."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import string
from typing import Any
from uuid import UUID

LETTERS = string.ascii_letters + string.digits
SHORTEST_SECRET = 6
"""Values shorter than this are not remembered: a leak search for them would hit ordinary words."""


class Chance:
    """Ids, tokens and values from one `random.Random(seed)`: the same calls in the same order give the same values."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._secrets: set[str] = set()
        self._signing_key = self._random.randbytes(32)

    def guid(self) -> str:
        """A random UUID, 36 lower-case characters."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def hex32(self) -> str:
        """32 hexadecimal characters, as Key Vault names its versions."""
        return f"{self._random.getrandbits(128):032x}"

    def text(self, length: int, alphabet: str = LETTERS) -> str:
        return "".join(self._random.choices(alphabet, k=length))

    def remember(self, value: str) -> str:
        """Keep `value` for leak searches; gives it back."""
        if len(value) >= SHORTEST_SECRET:
            self._secrets.add(value)
        return value

    def secrets(self) -> set[str]:
        return set(self._secrets)

    def jwt(self, claims: dict[str, Any]) -> str:
        """A JWT of the usual three parts, signed with a key nobody else has; remembered as a secret.

        The services the sandbox plays look tokens up and never check the signature; Azurite checks claims only.
        """
        head = _part({"typ": "JWT", "alg": "HS256"})
        body = _part({**claims, "uti": self.text(22)})
        signed = f"{head}.{body}"
        signature = hmac.new(self._signing_key, signed.encode(), hashlib.sha256).digest()
        return self.remember(f"{signed}.{_base64url(signature)}")


def _part(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def client_info(user_id: str, tenant_id: str) -> str:
    """The `client_info` of a token answer: base64url JSON `{uid, utid}`."""
    return _part({"uid": user_id, "utid": tenant_id})
