"""Azurite, Microsoft's storage emulator, as the storage of a Functions host: a process of its own on the loopback.

Installed by `make node` (part of `make test` and `make serve`) from sandbox/node/package.json.
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "sandbox" / "node" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
ACCOUNT = "patroldemo"
BLOB_HOST = f"{ACCOUNT}.blob.core.windows.net"
KEY = base64.b64encode(b"only for this machine").decode()
STARTS_WITHIN = 60.0
ENDS_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Azurite:
    """The blob service at `port`. With a certificate it takes identities, under its real name behind a proxy."""

    port: int

    @property
    def connection_string(self) -> str:
        endpoint = f"http://127.0.0.1:{self.port}/{ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def azurite(port: int | None = None, certificate: tuple[Path, Path] | None = None) -> Iterator[Azurite]:
    """Start, wait until it answers, and end it on the way out. `certificate`: of its real name, and the key of it."""
    node = _node()
    if node is None or not PROGRAM.exists():
        raise RuntimeError("Azurite is not installed: run `make node`.")
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="azurite-", ignore_cleanup_errors=True) as folder:
        command = [node, str(PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        command += ["--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence", "--silent"]
        if certificate is not None:
            command += ["--oauth", "basic", "--cert", str(certificate[0]), "--key", str(certificate[1])]
        environment = {"PATH": os.environ.get("PATH", ""), "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=folder
        ) as child:
            try:
                _wait_for(child, port)
                yield Azurite(port)
            finally:
                child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(ENDS_WITHIN)
                child.kill()


def _node() -> str | None:
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
