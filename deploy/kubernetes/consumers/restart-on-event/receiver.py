"""Restarts the Deployments that read a secret only when they start, once patrol says that it has a new version.

Standard library alone. The version's id is written into the pods' template, so a version that is told twice restarts
nothing twice. Answers 204 when the cluster took it, and 502 otherwise: patrol tells it again, and ends no PAT before.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import ssl
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

TOLERANCE, LARGEST = 300, 65536
API = os.environ.get("KUBERNETES_API", "https://kubernetes.default.svc")
FILES = Path(os.environ.get("FILES", "/var/run"))
NAMESPACE = os.environ["NAMESPACE"]
RESTARTS: dict[str, list[str]] = json.loads(os.environ["RESTARTS"])


def is_of_patrol(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the signature of Standard Webhooks is one of our key, and of these five minutes."""
    id_, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id_ or not seconds.isdigit() or abs(time.time() - int(seconds)) > TOLERANCE:
        return False
    key = (FILES / "restart-key" / "key").read_text(encoding="ascii").strip()
    signed = hmac.new(base64.b64decode(key.removeprefix("whsec_")), f"{id_}.{seconds}.".encode() + body, hashlib.sha256)
    mine = f"v1,{base64.b64encode(signed.digest()).decode()}"
    return any(hmac.compare_digest(mine, one) for one in headers.get("webhook-signature", "").split(" "))


def restart(deployment: str, version: str) -> None:
    """As `kubectl rollout restart` does it. Raises OSError where the cluster does not take it."""
    pods = {"metadata": {"annotations": {"patrol/version": version}}}
    address = f"{API}/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{deployment}"
    token = (FILES / "api" / "token").read_text(encoding="ascii").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/strategic-merge-patch+json"}
    body = json.dumps({"spec": {"template": pods}}).encode()
    trust = ssl.create_default_context(cafile=FILES / "api" / "ca.crt") if API.startswith("https:") else None
    with urlopen(Request(address, body, headers, method="PATCH"), timeout=5, context=trust):
        sys.stdout.write(json.dumps({"restarted": deployment, "version": version}) + "\n")
        sys.stdout.flush()


class Receiver(BaseHTTPRequestHandler):
    """One address, for one kind of event."""

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length)) if length.isdigit() and int(length) <= LARGEST else b""
        if not is_of_patrol(self.headers, body):
            return self.answer(401)
        event: dict[str, Any] = json.loads(body)
        if event["type"] == "patrol.published":
            try:
                for deployment in RESTARTS.get(event["subject"], []):
                    restart(deployment, event["data"]["items"][0]["version"])
            except OSError:
                return self.answer(502)
        return self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """What it restarts is told where that is done."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Receiver).serve_forever()
