"""deploy/kubernetes/consumers/restart-on-event: the receiver as it stands, told as patrol and Event Grid tell it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.kustomize import KUBERNETES
from shared.model.notices import Event, Kind, Notice, NoticeItem
from shared.model.secret_text import SecretText
from shared.services import notice_bodies
from tests.lab.consumers import SIGNING_KEY

RECEIVER = KUBERNETES / "consumers/restart-on-event/receiver.py"
EVENTS_KEY = "e" * 64
NEW_VERSION = "Microsoft.KeyVault.SecretNewVersionCreated"


@dataclass
class Cluster:
    """An API server that keeps what it is asked, and says no when it is told to."""

    asked: list[tuple[str, str, str, dict[str, Any]]] = field(default_factory=list)
    status: int = 200


@pytest.fixture
def cluster() -> Iterator[tuple[Cluster, int]]:
    made = Cluster()

    class Api(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.asked.append((self.path, self.headers["Authorization"], self.headers["Content-Type"], body))
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made, server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def address(cluster: tuple[Cluster, int], tmp_path: Path) -> Iterator[str]:
    for folder, name, text in (
        ("restart-key", "key", SIGNING_KEY),
        ("events-key", "key", f"{EVENTS_KEY}\n"),
        ("api", "token", "a-token-of-the-cluster"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "KUBERNETES_API": f"http://127.0.0.1:{cluster[1]}",
        "FILES": str(tmp_path),
        "NAMESPACE": "restarts",
        "RESTARTS": '{"release-pat": ["release-tool"]}',
        "PORT": str(port),
        "NO_PROXY": "127.0.0.1",
    }
    with subprocess.Popen([sys.executable, RECEIVER], env=environment, stdout=subprocess.DEVNULL) as child:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}/published"
        finally:
            child.terminate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the receiver did not start")


def told(address: str, event: Event = Event.PUBLISHED, secret: str = "release-pat", key: str = SIGNING_KEY) -> int:
    """As patrol tells it; gives the status."""
    now = datetime.now(UTC)
    notice = Notice(
        id="n" * 32,
        event=event,
        code="published",
        subject=secret,
        cause="",
        remedy="",
        at=now,
        deployment="contoso",
        vault="contoso-pats.vault.azure.net",
        run_id="r",
        items=(NoticeItem(secret, version="a" * 32),),
        items_in_all=1,
    )
    body = notice_bodies.body(Kind.WEBHOOK, notice)
    headers = notice_bodies.headers(Kind.WEBHOOK, notice, body, SecretText(key), now)
    with requests.Session() as session:
        session.trust_env = False
        return session.post(address, data=body, headers=headers, timeout=10).status_code


def test_a_new_version_restarts_what_reads_it_once_it_is_of_patrol(cluster: tuple[Cluster, int], address: str) -> None:
    made = cluster[0]
    assert told(address) == 204
    annotated = {"spec": {"template": {"metadata": {"annotations": {"patrol/version": "a" * 32}}}}}
    assert made.asked == [
        (
            "/apis/apps/v1/namespaces/restarts/deployments/release-tool",
            "Bearer a-token-of-the-cluster",
            "application/strategic-merge-patch+json",
            annotated,
        )
    ]
    assert told(address) == 204
    assert made.asked[0] == made.asked[1], "the same version changes nothing in the cluster"
    made.asked.clear()
    assert told(address, secret="another-pat") == 204
    assert told(address, Event.TEST) == 204
    assert told(address, key="whsec_" + "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4") == 401
    assert requests.post(address, data=b"{}", timeout=10).status_code == 401
    assert made.asked == []


def told_by_event_grid(address: str, type_: str = NEW_VERSION, **more: Any) -> requests.Response:
    """CloudEvents 1.0 as Event Grid delivers it, with the header of the subscription; `more`: headers and data."""
    event = {
        "id": "00eccf70-95a7-4e7c-8299-2eb17ee9ad64",
        "source": "/subscriptions/x/resourceGroups/x/providers/Microsoft.KeyVault/vaults/contoso-pats",
        "specversion": "1.0",
        "type": type_,
        "subject": "release-pat",
        "time": "2026-11-27T12:00:00Z",
        "data": {
            "Id": f"https://contoso-pats.vault.azure.net/secrets/release-pat/{'a' * 32}",
            "VaultName": "contoso-pats",
            "ObjectType": "Secret",
            "ObjectName": "release-pat",
            "Version": "a" * 32,
            "NBF": None,
            "EXP": "1798286400",
        },
    }
    event |= more.get("event", {})
    headers = {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "X-Webhook-Key": EVENTS_KEY,
        **more.get("headers", {}),
    }
    with requests.Session() as session:
        session.trust_env = False
        return session.post(address, data=json.dumps(event), headers=headers, timeout=10)


def test_event_grid_restarts_it_as_patrol_does_and_a_version_that_both_tell_once(
    cluster: tuple[Cluster, int], address: str
) -> None:
    made = cluster[0]
    assert told(address) == 204
    assert told_by_event_grid(address).status_code == 204
    assert len(made.asked) == 2
    assert made.asked[0] == made.asked[1], "the same version changes nothing in the cluster"
    data = {"vaultName": "contoso-pats", "objectName": "Release-PAT", "version": "b" * 32}
    assert told_by_event_grid(address, event={"data": data}).status_code == 204
    annotations = made.asked[2][3]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"patrol/version": "b" * 32}, "whatever case the names have"
    made.status = 500
    assert told_by_event_grid(address).status_code == 502, "Event Grid tells it again"


def test_event_grid_is_known_by_its_key_alone(cluster: tuple[Cluster, int], address: str, tmp_path: Path) -> None:
    for key in ("", "x" * 64, SIGNING_KEY):
        assert told_by_event_grid(address, headers={"X-Webhook-Key": key}).status_code == 401
    assert told_by_event_grid(address, "Microsoft.KeyVault.SecretNearExpiry").status_code == 204
    (tmp_path / "events-key/key").write_text("\n")
    assert told_by_event_grid(address, headers={"X-Webhook-Key": ""}).status_code == 401
    (tmp_path / "events-key/key").unlink()
    assert told_by_event_grid(address).status_code == 401, "without a Secret nobody is Event Grid"
    assert cluster[0].asked == []


def test_event_grid_is_answered_when_it_asks_whether_it_may_tell(address: str) -> None:
    asked = requests.options(address, headers={"WebHook-Request-Origin": "eventgrid.azure.net"}, timeout=10)
    assert (asked.status_code, asked.headers["WebHook-Allowed-Origin"]) == (200, "eventgrid.azure.net")
    assert asked.headers["WebHook-Allowed-Rate"] == "*"
    for origin in ("", "a b", "x\t.y"):
        refused = requests.options(address, headers={"WebHook-Request-Origin": origin}, timeout=10)
        assert (refused.status_code, "WebHook-Allowed-Origin" in refused.headers) == (400, False)


def test_what_the_cluster_did_not_take_is_not_called_done(cluster: tuple[Cluster, int], address: str) -> None:
    """So patrol holds the old PAT, and tells it again."""
    cluster[0].status = 403
    assert told(address) == 502
    cluster[0].status = 200
    assert told(address) == 204
