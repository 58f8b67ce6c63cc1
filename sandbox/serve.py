"""`make serve`: the sandbox, a storage emulator, and the app's functions on localhost, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.cloud.seed import CLIENT, PATS_VAULT, WEB_VAULT, demo_pats_yaml
from sandbox.cloud.vault_log import resource_of
from sandbox.functions_host.azurite import ACCOUNT, Ports, azurite, certificates_of, free_port
from sandbox.functions_host.host import Keys
from sandbox.process.running import ROOT, Running, start

READY_WITHIN = 30.0
SCHEDULE = "0 0 */6 * * *"


RELEASE = "svc-release@contoso.com"
ENROLLED = f"""\
  - username: {RELEASE}   # a person enrolls it at a browser: multi-factor authentication is demanded of it
    enrolled: true
    pats: []
"""


def new_password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Served:
    """What runs: the app's address, its keys, and the sandbox behind it."""

    url: str
    keys: Keys
    cloud: Running
    proxy: str


def new_keys() -> Keys:
    """One for each function that asks for one, made new at every start."""
    names = ("rotate", "emergency", "pats", "page", "metrics", "readers", "runs", "enroll")
    return Keys(
        {name: secrets.token_urlsafe(24) for name in names}, secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    )


@contextlib.contextmanager
def serve(port: int, schedule: str) -> Iterator[Served]:
    """Start all of it on the demo estate, wait until it answers, and end it on the way out."""
    _check_free(port)
    keys, ports = new_keys(), Ports.free()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-app-")))
        inventory = folder / "pats.yaml"
        inventory.write_text(f"{demo_pats_yaml()}{ENROLLED}", encoding="utf-8")
        cloud = stack.enter_context(start("demo", routes=ports.routes))
        cloud.client.seed({"users": [{"upn": RELEASE, "password": new_password(), "state": "mfa_required"}]})
        cloud.client.switch(vault_log_table="AZKVAuditLogs")
        cloud.client.change_client(CLIENT, redirect_uris=[f"http://localhost:{port}/api/enroll/callback"])
        stack.enter_context(azurite(ports, certificates_of(cloud.environment())))
        settings = {
            "PATS_FILE": str(inventory),
            "ROTATION_SCHEDULE": schedule,
            "VAULT_LOGS": f"{resource_of(PATS_VAULT)},{resource_of(WEB_VAULT)}",
            "WEBSITE_HOSTNAME": f"localhost:{port}",
            "AzureWebJobsStorage__accountName": ACCOUNT,
            "AzureWebJobsStorage__credential": "managedidentity",
            "SANDBOX_HOST": json.dumps(
                {"port": port, "keys": {"functions": dict(keys.functions), "host": keys.host, "master": keys.master}}
            ),
        }
        app = cloud.start_product(("-m", "sandbox.functions_host.host"), cwd=ROOT, extra=settings, show=True)
        stack.enter_context(app)
        stack.callback(app.terminate)
        _wait_for(port, app)
        yield Served(f"http://127.0.0.1:{port}", keys, cloud, cloud.environment()["HTTPS_PROXY"])


def told(served: Served) -> str:
    """What a person needs to try it: lines for a second shell."""
    keys = served.keys
    return f"""\
patrol's functions answer on {served.url}, behind them a sandbox of Azure with the demo estate.
In a second shell:

  export PATROL={served.url} SANDBOX={served.cloud.control}
  export PATS_KEY={keys.functions["pats"]} ROTATE_KEY={keys.functions["rotate"]}
  export EMERGENCY_KEY={keys.functions["emergency"]} RUNS_KEY={keys.functions["runs"]} MASTER_KEY={keys.master}

  # Is it up? What is the state of every PAT?
  curl $PATROL/api/health
  curl -H "x-functions-key: $PATS_KEY" $PATROL/api/pats
  # The same for people, in a browser:
  #   {served.url}/api/page?code={keys.functions["page"]}
  # For Prometheus.
  curl -H "x-functions-key: {keys.functions["metrics"]}" $PATROL/api/metrics
  # Who reads what, and which version.
  curl -H "x-functions-key: {keys.functions["readers"]}" $PATROL/api/readers
  # Enroll the user without a password: open the link in a browser that has the sandbox's proxy ({served.proxy})
  # and takes its certificates, such as chromium --proxy-server=... --ignore-certificate-errors.
  curl --fail-with-body -H "x-functions-key: {keys.functions["enroll"]}" $PATROL/api/enroll \\
    -d '{{"username": "{RELEASE}"}}'
  # Rotate what is due; one secret, due or not; a leaked one.
  curl --fail-with-body -H "x-functions-key: $ROTATE_KEY" -X POST $PATROL/api/rotate
  curl --fail-with-body -H "x-functions-key: $ROTATE_KEY" $PATROL/api/rotate \\
    -d '{{"secrets": ["agents-linux-pat"], "force": true}}'
  curl --fail-with-body -H "x-functions-key: $EMERGENCY_KEY" $PATROL/api/emergency -d '{{"secrets": ["sonarqube-pat"]}}'
  # The same over the queue: 202, and where to look.
  curl -i -H "x-functions-key: $ROTATE_KEY" -H "Prefer: respond-async" -X POST $PATROL/api/rotate
  curl -H "x-functions-key: $RUNS_KEY" $PATROL/api/runs
  # Fire the timer by hand, as the host's admin route does. Let a day pass.
  curl -i -H "x-functions-key: $MASTER_KEY" -H "Content-Type: application/json" \\
    $PATROL/admin/functions/rotate_due -d '{{}}'
  curl --noproxy "*" $SANDBOX/clock/move -d '{{"seconds": 90000}}'

Below, what the functions log. Ctrl-C ends all of it.
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make serve")
    parser.add_argument("--port", type=int, default=7071, help="7071 is the Core Tools' own; 0: any that is free")
    parser.add_argument("--schedule", default=SCHEDULE, help="when the timer fires: NCRONTAB, UTC")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with serve(options.port or free_port(), options.schedule) as served:
            print(told(served), flush=True)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return 0
    except RuntimeError as problem:
        sys.stderr.write(f"serve: {problem}\n")
        return 1


def _wait_for(port: int, app: subprocess.Popen[str]) -> None:
    end = time.monotonic() + READY_WITHIN
    while time.monotonic() < end and app.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the functions did not start on port {port}; their message is above")


def _check_free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        raise RuntimeError(f"port {port} is in use; name another: make serve ARGS='--port 7072'") from None


if __name__ == "__main__":
    sys.exit(main())
