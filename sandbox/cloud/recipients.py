"""Recipients of notices as pure state: a flow of Teams, an incoming webhook of Slack, a receiver of Standard Webhooks.

Shapes: the stock template "Post to a channel when a webhook request is received", Slack's error words, the Standard
Webhooks specification. Faults script whatever else an address may answer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

KINDS = ("teams", "teams-card", "slack", "webhook")
LARGEST_CARD = 28_672
"""Bytes, counted after the flow's own wrapping."""
WRAPPING = 4_500
TOLERANCE = 300
"""Seconds by which a signature's time may differ."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a recipient answers."""

    status: int
    body: str = ""
    content_type: str = "text/plain"


@dataclass(slots=True)
class Recipient:
    """One address. `target` is its path and query as they were given out, of which `token` is the secret part; `key` is
    what a webhook checks signatures with.

    `received`: every body that was taken, `shown` those that people see: a flow of Teams takes anything.
    """

    kind: str
    target: str
    token: str
    key: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def take(self, target: str, headers: dict[str, str], body: bytes, now: datetime) -> Answered:
        """One POST. `headers` by lower-case name."""
        match self.kind:
            case "slack":
                return self._slack(target, body)
            case "webhook":
                return self._webhook(target, headers, body, now)
            case _:
                return self._flow(target, body)

    def _flow(self, target: str, body: bytes) -> Answered:
        if target != self.target:
            error = {
                "error": {"code": "DirectApiAuthorizationRequired", "message": "The request must be authenticated."}
            }
            return Answered(401, json.dumps(error), "application/json")
        found = _json(body)
        self.received.append(found)
        # What the flow does with it comes after its answer, and nobody is told.
        if len(body) + WRAPPING <= LARGEST_CARD:
            self.shown += [card for card in self._cards(found) if card.get("type") == "AdaptiveCard"]
        return Answered(202)

    def _cards(self, found: dict[str, Any]) -> list[dict[str, Any]]:
        if self.kind == "teams-card":
            return [found]
        attachments = found.get("attachments")
        kind = "application/vnd.microsoft.card.adaptive"
        rows = attachments if isinstance(attachments, list) else []
        return [row["content"] for row in rows if isinstance(row, dict) and row.get("contentType") == kind]

    def _slack(self, target: str, body: bytes) -> Answered:
        if target != self.target:
            return Answered(404, "no_service")
        found = _json(body)
        if not found.get("text") and not found.get("blocks") and not found.get("attachments"):
            return Answered(400, "no_text" if found else "invalid_payload")
        if not _is_well_made(found):
            return Answered(400, "invalid_attachments")
        self.received.append(found)
        self.shown.append(found)
        return Answered(200, "ok")

    def _webhook(self, target: str, headers: dict[str, str], body: bytes, now: datetime) -> Answered:
        if target != self.target:
            return Answered(404)
        if self.key and not self._is_signed(headers, body, now):
            return Answered(401)
        found = _json(body)
        self.received.append(found)
        self.ids.append(headers.get("webhook-id", ""))
        # The same id is the same notice.
        if found.get("id") not in [one.get("id") for one in self.shown]:
            self.shown.append(found)
        return Answered(204)

    def _is_signed(self, headers: dict[str, str], body: bytes, now: datetime) -> bool:
        id_, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not id_ or not seconds.isdigit() or abs(now.timestamp() - int(seconds)) > TOLERANCE:
            return False
        raw = base64.b64decode(self.key.removeprefix("whsec_"))
        right = base64.b64encode(hmac.new(raw, f"{id_}.{seconds}.".encode() + body, hashlib.sha256).digest()).decode()
        given = headers.get("webhook-signature", "").split(" ")
        return any(hmac.compare_digest(one, f"v1,{right}") for one in given)


def _is_well_made(found: dict[str, Any]) -> bool:
    """Slack's limits of what a block may hold: 50 blocks, 150 characters in a header, 3,000 in a section."""
    for attachment in found.get("attachments", []):
        blocks = attachment.get("blocks", [])
        if len(blocks) > 50:
            return False
        for block in blocks:
            text, most = block.get("text", {}), 150 if block.get("type") == "header" else 3000
            if text.get("type") not in ("plain_text", "mrkdwn") or not 1 <= len(text.get("text", "")) <= most:
                return False
    return True


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
