"""The sandbox as a child process, for tests and demos that run the product in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import IO, Any

from sandbox.process.client import SandboxClient
from sandbox.process.environment import kept_environment

ROOT = Path(__file__).resolve().parents[2]
STARTS_WITHIN = 30.0
ENDS_WITHIN = 5.0


class Running:
    """A sandbox that runs: its control client, and what a product process needs to reach it."""

    def __init__(self, control: str, environment: dict[str, str]) -> None:
        self.control = control
        self.client = SandboxClient(control)
        self._environment = environment

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a product process; `extra` wins."""
        return {**kept_environment(), **self._environment, **(extra or {})}

    def run_product(
        self,
        arguments: Sequence[str],
        *,
        cwd: str | Path | None = None,
        extra: Mapping[str, str] | None = None,
        timeout: float = 120.0,
        real_time: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `-m module …` or `script.py …` under the sandbox's clock; gives its exit code and texts.

        `real_time`: without the launcher, which follows that clock and loads libraries of its own.
        """
        with self.start_product(arguments, cwd=cwd, extra=extra, real_time=real_time) as child:
            try:
                out, err = child.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                raise
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def start_product(
        self,
        arguments: Sequence[str],
        *,
        cwd: str | Path | None = None,
        extra: Mapping[str, str] | None = None,
        show: bool = False,
        log: IO[str] | None = None,
        real_time: bool = False,
    ) -> subprocess.Popen[str]:
        """The same, left running: for tests that kill it. `show`: what it prints goes where ours goes; `log`: there."""
        where = None if show else log or subprocess.PIPE
        environment = self.environment(extra)
        path = [environment["PYTHONPATH"]] if environment.get("PYTHONPATH") else []
        environment["PYTHONPATH"] = os.pathsep.join([*path, str(ROOT)])
        launcher = ("-m", "sandbox.process.launcher", "--control", self.control, "--")
        return subprocess.Popen(
            [sys.executable, *(() if real_time else launcher), *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=where,
            stderr=where,
            text=True,
        )


@contextmanager
def start(
    seed: str | Path | Mapping[str, Any] = "demo", *, routes: Mapping[str, int] | None = None
) -> Iterator[Running]:
    """Start, wait until ready, and end the child on the way out.

    `seed`: "demo", "empty", a JSON file, or an estate as data. Raises RuntimeError when the child does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-seed-") as folder:
        if isinstance(seed, Mapping):
            path = Path(folder) / "estate.json"
            path.write_text(json.dumps(seed), encoding="utf-8")
            seed = path
        command = [sys.executable, "-m", "sandbox", "serve", "--json", "--until-stdin-closes", "--seed", str(seed)]
        for host, port in (routes or {}).items():
            command += ["--route", f"{host}={port}"]
        # Its standard input is a pipe of ours: should this process die without a word, the child ends as well.
        with subprocess.Popen(
            command,
            env={**kept_environment(), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            try:
                yield _wait_for(child)
            finally:
                child.terminate()
                try:
                    child.wait(ENDS_WITHIN)
                except subprocess.TimeoutExpired:
                    child.kill()


def _wait_for(child: subprocess.Popen[str]) -> Running:
    out: IO[str] | None = child.stdout
    assert out is not None
    ready, _, _ = select([out], [], [], STARTS_WITHIN)
    line = out.readline() if ready else ""
    if not line:
        raise RuntimeError("the sandbox did not start; its own message is on standard error")
    said = json.loads(line)
    running = Running(said["control"], said["environment"])
    running.client.ready()
    return running
