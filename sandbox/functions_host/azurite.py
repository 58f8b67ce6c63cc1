"""Azurite, Microsoft's storage emulator, as the storage of a Functions host: a process of its own on the loopback.

Installed by `make node` (part of `make test-all` and `make serve`) from sandbox/node/package.json.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "sandbox" / "node" / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
ENDS_WITH_US = ROOT / "sandbox" / "node" / "until_stdin_closes.cjs"
ACCOUNT = "patroldemo"
BLOB_HOST = f"{ACCOUNT}.blob.core.windows.net"
QUEUE_HOST = f"{ACCOUNT}.queue.core.windows.net"
KEY = base64.b64encode(b"only for this machine").decode()
STARTS_WITHIN = 60.0
ENDS_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Azurite:
    """Its services by port. With a certificate it takes identities, under its real names behind a proxy."""

    blobs: int
    queues: int

    @property
    def connection_string(self) -> str:
        key = f"AccountName={ACCOUNT};AccountKey={KEY}"
        blobs, queues = (f"http://127.0.0.1:{port}/{ACCOUNT}" for port in (self.blobs, self.queues))
        return f"DefaultEndpointsProtocol=http;{key};BlobEndpoint={blobs};QueueEndpoint={queues};"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports that are free, for a sandbox to route to before Azurite starts on them."""

    blobs: int
    queues: int

    @classmethod
    def free(cls) -> Ports:
        return cls(free_port(), free_port())

    @property
    def routes(self) -> dict[str, int]:
        return {BLOB_HOST: self.blobs, QUEUE_HOST: self.queues}


def certificates_of(environment: Mapping[str, str]) -> Path:
    """The folder of a running sandbox's certificates, by the environment of its product."""
    return Path(environment["REQUESTS_CA_BUNDLE"]).parent


@contextmanager
def azurite(ports: Ports | None = None, certificates: Path | None = None) -> Iterator[Azurite]:
    """Start, wait until it answers, and end it on the way out.

    `certificates`: the sandbox's folder of them (`certificates_of`); then it takes identities under its real names.
    """
    program = node()
    if program is None or not PROGRAM.exists():
        raise RuntimeError("Azurite is not installed: run `make node`.")
    ports = ports or Ports.free()
    with tempfile.TemporaryDirectory(prefix="azurite-", ignore_cleanup_errors=True) as folder:
        # Tables are of no use here, and cannot be left out.
        services = {"blob": ports.blobs, "queue": ports.queues, "table": free_port()}
        command = [program, "--require", str(ENDS_WITH_US), str(PROGRAM)]
        for name, port in services.items():
            command += [f"--{name}Host", "127.0.0.1", f"--{name}Port", str(port)]
        command += ["--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence", "--silent"]
        if certificates is not None:
            command += ["--oauth", "basic", "--cert", str(certificates / "server.pem")]
            command += ["--key", str(certificates / "server.key")]
        environment = {"PATH": os.environ.get("PATH", ""), "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
        # A session of its own: Ctrl-C is for whoever started it, and a second signal to stop makes it throw.
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            start_new_session=True,
        ) as child:
            try:
                for port in services.values():
                    _wait_for(child, port)
                yield Azurite(ports.blobs, ports.queues)
            finally:
                child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(ENDS_WITHIN)
                child.kill()


def node() -> str | None:
    """The machine's, else the one that `make node` put beside this Python."""
    beside = Path(sys.executable).parent / "node"
    return str(beside) if beside.exists() else shutil.which("node")


def _wait_for(child: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end and child.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("Azurite did not start; its own message is on standard error")
