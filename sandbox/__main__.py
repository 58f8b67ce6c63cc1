"""`python -m sandbox serve [--seed FILE|demo|empty] [--json]`: the sandbox until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from sandbox.cloud import seed
from sandbox.cloud.clock import ShiftedClock
from sandbox.cloud.cloud import Cloud
from sandbox.process.environment import product_environment
from sandbox.process.server import Server


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Azure on a laptop, for tests and demos.")
    commands = parser.add_subparsers(required=True)
    serve = commands.add_parser("serve", help="start and keep running until Ctrl-C")
    serve.add_argument("--seed", default="demo", help="demo, empty, or a JSON file that describes an estate")
    serve.add_argument("--random-seed", type=int, default=0, help="the source of ids and values")
    serve.add_argument("--offset", type=float, default=0.0, help="seconds to move the clock by at the start")
    serve.add_argument("--json", action="store_true", help="print one JSON line instead of export lines")
    serve.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    serve.add_argument("--route", action="append", default=[], metavar="HOST=PORT", help="a loopback server of yours")
    inventory = commands.add_parser("demo-pats-yaml", help="print the inventory that fits the demo estate")
    serve.set_defaults(run=_serve)
    inventory.set_defaults(run=_inventory)
    options = parser.parse_args(arguments)
    return int(options.run(options))


class Senseless(Exception):
    """An estate that describes none."""


def _inventory(_: argparse.Namespace) -> int:
    sys.stdout.write(seed.demo_pats_yaml())
    return 0


def _serve(options: argparse.Namespace) -> int:
    try:
        estate = _estate(options.seed)
        routes = {host: int(port) for host, _, port in (route.partition("=") for route in options.route)}
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"sandbox: {problem}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        try:
            asyncio.run(_run(options, estate, routes, Path(folder)))
        except Senseless as problem:
            sys.stderr.write(f"sandbox: {problem}\n")
            return 2
    return 0


def _estate(name: str) -> dict[str, Any]:
    if name == "demo":
        return seed.demo_estate()
    if name == "empty":
        return {}
    value = json.loads(Path(name).read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{name} holds no JSON object")
    return value


async def _run(options: argparse.Namespace, estate: dict[str, Any], routes: dict[str, int], folder: Path) -> None:
    clock = ShiftedClock(timedelta(seconds=options.offset))
    cloud = Cloud(clock.now, options.random_seed)
    try:
        seed.apply(cloud, estate)
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise Senseless(f"the estate of --seed makes no sense: {type(problem).__name__}: {problem}") from None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _stdin_moved, loop, stop)
    server = Server(cloud, clock, routes)
    address = await server.start(folder)
    vaults = list(cloud.vaults) or [seed.PATS_VAULT]
    environment = product_environment(
        proxy=address.proxy,
        identity=address.identity,
        header=cloud.identity.header,
        bundle=address.bundle,
        key_vault=vaults[0],
        credentials_vault=vaults[1] if len(vaults) > 1 else vaults[0],
        identity_client=min(cloud.identity.client_ids, default=None),
    )
    control = f"http://127.0.0.1:{address.control}"
    if options.seed == "demo":
        inventory = folder / "pats.yaml"
        inventory.write_text(seed.demo_pats_yaml(), encoding="utf-8")
        environment["PATS_FILE"] = str(inventory)
    _announce(options.json, control, environment, folder)
    try:
        await stop.wait()
    finally:
        await server.stop()


def _stdin_moved(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):  # the end; bytes before it mean nothing
        loop.remove_reader(sys.stdin.fileno())
        stop.set()


def _announce(as_json: bool, control: str, environment: dict[str, str], folder: Path) -> None:
    if as_json:
        print(json.dumps({"control": control, "environment": environment, "folder": str(folder)}), flush=True)
        return
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines += [
        f"export SANDBOX_CONTROL={control}",
        "# Put these lines into a shell of its own, then for example:",
        "#   .venv/bin/patrol status",
        "#   .venv/bin/patrol run",
        "# Let a day pass, and run under the sandbox's clock from then on:",
        '#   curl --noproxy "*" -X POST "$SANDBOX_CONTROL/clock/move" -d \'{"seconds": 90000}\'',
        '#   .venv/bin/python -m sandbox.process.launcher --control "$SANDBOX_CONTROL" -- -m shared run',
        "# Ctrl-C ends the sandbox and removes its certificates.",
    ]
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())
