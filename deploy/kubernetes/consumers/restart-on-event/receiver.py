"""Restarts the Deployments that read a secret only when they start, once patrol or Event Grid says that it has a new
version.

Standard library alone. The version's id is written into the pods' template, so a version that is told twice, or by
both, restarts nothing twice. Answers 204 when the cluster took it, and 502 otherwise: then it is told again, and patrol
ends no PAT before.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
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
# Names of secrets are the same in upper and lower case.
RESTARTS: dict[str, list[str]] = {name.casefold(): each for name, each in json.loads(os.environ["RESTARTS"]).items()}


def is_of_patrol(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the signature of Standard Webhooks is one of our key, and of these five minutes."""
    id_, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id_ or not seconds.isdigit() or abs(time.time() - int(seconds)) > TOLERANCE:
        return False
    key = (FILES / "restart-key" / "key").read_text(encoding="ascii").strip()
    signed = hmac.new(base64.b64decode(key.removeprefix("whsec_")), f"{id_}.{seconds}.".encode() + body, hashlib.sha256)
    mine = f"v1,{base64.b64encode(signed.digest()).decode()}"
    return any(hmac.compare_digest(mine, one) for one in headers.get("webhook-signature", "").split(" "))


def is_of_event_grid(headers: Mapping[str, str]) -> bool:
    """Whether it has the key that the subscription sends. Event Grid signs nothing; without a Secret nobody is it."""
    file = FILES / "events-key" / "key"
    key = file.read_bytes().strip() if file.exists() else b""
    return bool(key) and hmac.compare_digest(key, headers.get("x-webhook-key", "").encode())


def new_version(event: Mapping[str, Any]) -> tuple[str, str]:
    """Which secret has a new version, and its id; "" for other events. The case of Microsoft's names differs."""
    if event["type"] == "patrol.published":
        return event["subject"], event["data"]["items"][0]["version"]
    if event["type"] == "Microsoft.KeyVault.SecretNewVersionCreated":
        data = {name.casefold(): value for name, value in event["data"].items()}
        return data["objectname"], data["version"]
    return "", ""


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
    """One kind of event, from two who tell of it."""

    def do_OPTIONS(self) -> None:
        """Event Grid asks once whether it may tell us. That proves nobody: each delivery needs the key."""
        origin = self.headers.get("WebHook-Request-Origin", "")
        if not re.fullmatch(r"[0-9A-Za-z.-]{1,253}", origin):
            return self.answer(400)
        return self.answer(200, {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*", "Allow": "POST"})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length)) if length.isdigit() and int(length) <= LARGEST else b""
        if not is_of_patrol(self.headers, body) and not is_of_event_grid(self.headers):
            return self.answer(401)
        secret, version = new_version(json.loads(body))
        try:
            for deployment in RESTARTS.get(secret.casefold(), []):
                restart(deployment, version)
        except OSError:
            return self.answer(502)
        return self.answer(204)

    def answer(self, status: int, headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """What it restarts is told where that is done."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Receiver).serve_forever()
