"""The rows of `make bench` about the queue: the dispatcher, and instances of `rotate_user` as processes over Azurite.

docs/performance.md says how to read them.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from azure.storage.queue import QueueServiceClient

from sandbox.bench import used
from sandbox.bench.rows import LATENCY, Row, limit, seeded, usual_roots
from sandbox.cloud.large_estate import Size, inventory_text
from sandbox.functions_host.azurite import ACCOUNT, KEY, QUEUE_HOST, Ports, azurite, certificates_of
from sandbox.functions_host.queue_trigger import Queues, wait_until_empty
from sandbox.process.running import ROOT, Running

QUEUE = "patrol-rotations"
READY_WITHIN, DONE_WITHIN = 60.0, 1800.0
INSTANCES = (1, 2, 4, 8)
_MARKS = ("vault.list", "identity.token")
# Key Vault's limit, as the product keeps it.
MOST, WITHIN = 300, 10.2
# `maximumInstanceCount` of the template.
DEPLOYED = 40
NEAR_LINEAR = 0.85


@dataclass(frozen=True, slots=True)
class Dispatched:
    """Seconds from the first page until the host sends, and of the vault's listing in them; its most memory in MB."""

    seconds: float
    listing: float
    memory: float
    messages: int


@dataclass(frozen=True, slots=True)
class Worked:
    """`seconds` from the first call to the last answer; CPU seconds of all instances, and of the sandbox."""

    messages: int
    seconds: float
    cpu: float
    sandbox_cpu: float
    throttled: int
    calls: Counter[str]


class QueueBench:
    """A sandbox with an estate, Azurite, and the app's settings."""

    def __init__(self, cloud: Running, queues: Queues, folder: Path, size: Size) -> None:
        self.cloud = cloud
        self._queues = queues
        inventory = folder / "pats.yaml"
        inventory.write_text(inventory_text(size), encoding="utf-8")
        self._settings = {
            "PATS_FILE": str(inventory),
            "FAN_OUT_ABOVE": "0",
            "AzureWebJobsStorage__accountName": ACCOUNT,
            "AzureWebJobsStorage__credential": "managedidentity",
            **usual_roots(cloud, folder),
        }

    def dispatch(self) -> Dispatched:
        """The timer function once, as a process of its own."""
        self.cloud.client.clear_log()
        program = ("-m", "sandbox.bench.used", "-m", "sandbox.functions_host.fire_timer")
        ran = self.cloud.run_product(program, cwd=ROOT, extra=self._settings, timeout=DONE_WITHIN)
        if ran.returncode:
            raise RuntimeError(ran.stderr[-2000:])
        sent = self._queues.named(QUEUE).get_queue_properties().approximate_message_count or 0
        at = {name: [datetime.fromisoformat(row["at"]) for row in self.cloud.client.log(name)] for name in _MARKS}
        pages, tokens = at["vault.list"], at["identity.token"]
        # The stand-in for the host opens the queue with a token of its own, when there is something to send.
        # The app's own first one is asked for while it loads.
        taken, listing = (max(tokens) - min(pages)).total_seconds(), (max(pages) - min(pages)).total_seconds()
        return Dispatched(taken, listing, used.read(ran.stderr), sent)

    def work_off(self, instances: int, **settings: str) -> Worked:
        """Hold the messages back until all instances are up, then let them work until nothing is left."""
        client, queue = self.cloud.client, self._queues.named(QUEUE)
        held = self._take()
        with ExitStack() as stack:
            children = [stack.enter_context(self._instance(settings)) for _ in range(instances)]
            client.clear_log()
            sandbox_before, cpu_before = client.load()["cpu"], [_cpu(one.pid) for one in children]
            for text in held:
                queue.send_message(text)
            if not wait_until_empty(self._queues, QUEUE, DONE_WITHIN):
                raise RuntimeError("the queue was not worked off")
            cpu = sum(_cpu(one.pid) - before for one, before in zip(children, cpu_before, strict=True))
            sandbox_cpu = client.load()["cpu"] - sandbox_before
            log = client.log()
        # Instances ask for the storage's token before there is a message.
        at = [datetime.fromisoformat(row["at"]) for row in log if row["operation"] != "identity.token"]
        seconds = (max(at) - min(at)).total_seconds() + LATENCY
        throttled = sum(row["status"] == 429 for row in log)
        return Worked(len(held), seconds, cpu, sandbox_cpu, throttled, Counter(row["operation"] for row in log))

    def _take(self) -> list[str]:
        queue, texts = self._queues.named(QUEUE), []
        for one in queue.receive_messages(messages_per_page=32, visibility_timeout=600):
            texts.append(one.content)
            queue.delete_message(one)
        return texts

    @contextmanager
    def _instance(self, settings: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
        host = {"port": None, "keys": {"functions": {}, "host": "", "master": ""}}
        extra = {**self._settings, **settings, "SANDBOX_HOST": json.dumps(host)}
        with tempfile.TemporaryFile("a+", encoding="utf-8") as log:
            child = self.cloud.start_product(("-m", "sandbox.functions_host.host"), cwd=ROOT, extra=extra, log=log)
            try:
                _wait_for(child, log, "works off the queues")
                yield child
            finally:
                child.kill()
                child.wait()


def _wait_for(child: subprocess.Popen[str], log: Any, word: str) -> None:
    end = time.monotonic() + READY_WITHIN
    while True:
        log.seek(0)
        text = log.read()
        if word in text:
            return
        if time.monotonic() > end or child.poll() is not None:
            raise RuntimeError(text[-2000:])
        time.sleep(0.05)


def _cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    told = subprocess.run(["ps", "-o", "cputime=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    parts = [float(one) for one in re.split("[-:]", told.strip())]
    return sum(one * each for one, each in zip(reversed(parts), (1, 60, 3600, 86400), strict=False))


@contextmanager
def queue_bench(size: Size, latency: float = LATENCY) -> Iterator[QueueBench]:
    ports = Ports.free()
    with ExitStack() as stack:
        cloud = stack.enter_context(seeded(size, latency, ports.routes))
        environment = cloud.environment()
        stack.enter_context(azurite(ports, certificates_of(environment)))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        storage = QueueServiceClient(
            f"https://{QUEUE_HOST}",
            credential={"account_name": ACCOUNT, "account_key": KEY},
            proxies={"https": environment["HTTPS_PROXY"]},
            connection_verify=environment["REQUESTS_CA_BUNDLE"],
        )
        yield QueueBench(cloud, Queues(storage), Path(folder), size)


def queue() -> Iterator[Row]:
    """All rows, each as soon as it is measured."""
    yield from dispatcher(Size(users=5000, each=20))
    yield from one_instance()
    yield from several_instances()
    yield from vault_limit()


def one_instance() -> list[Row]:
    """All of the vault's limit for one: what an instance can do at most, against its share where all are there."""
    size = Size(users=60, each=5, due=300)
    with queue_bench(size) as made:
        made.dispatch()
        ran = made.work_off(1, QUEUE_INSTANCES="1")
    rate, busy = ran.messages / ran.seconds, ran.cpu / ran.seconds
    share = MOST // DEPLOYED / WITHIN / size.each
    what = f"messages a second on one instance, {size.each} PATs each ({busy:.0%} of a core)"
    return [Row(what, f"{rate:.1f}", f"≥ 10 x its share of {share:.2f}", rate >= 10 * share)]


def several_instances() -> Iterator[Row]:
    """A deployment of 16 instances, of which one to eight are there: each keeps to its sixteenth of the vault's limit.

    So waiting rules, and the two cores of a laptop are enough for eight.
    """
    size, deployed = Size(users=64, each=5, due=320), 16
    share = MOST // deployed
    first = 0.0
    for instances in INSTANCES:
        with queue_bench(size) as made:
            made.dispatch()
            ran = made.work_off(instances, QUEUE_INSTANCES=str(deployed))
        first = first or ran.seconds
        allowed = (math.ceil(size.pats / (share * instances)) - 1) * WITHIN
        faster, linear = first / ran.seconds, NEAR_LINEAR * instances
        what = f"{instances} of {deployed} instances: {_told(ran, allowed)}"
        reach = f"≥ x {linear:.1f}" if instances > 1 else "what follows, times one"
        numbers = {"instances": float(instances), "faster": faster}
        yield Row(what, f"x {faster:.1f}", reach, faster >= linear, numbers)


def vault_limit() -> list[Row]:
    """Eight instances that are all that are deployed, at Key Vault's own limit."""
    size, instances = Size(users=120, each=5, due=600), 8
    with queue_bench(size) as made:
        made.cloud.client.switch(vault_creations_per_10s=MOST)
        made.dispatch()
        ran = made.work_off(instances, QUEUE_INSTANCES=str(instances))
    allowed = (math.ceil(size.pats / (MOST // instances * instances)) - 1) * WITHIN
    throttled = ran.throttled / ran.calls["vault.set"]
    what = f"{instances} instances at Key Vault's limit: {_told(ran, allowed)}"
    return [
        limit(what, ran.seconds / allowed, 1.5),
        Row("  its writes that the vault throttled", f"{throttled:.1%}", "≤ 1 %", throttled <= 0.01),
    ]


def _told(ran: Worked, allowed: float) -> str:
    busy = (ran.cpu + ran.sandbox_cpu) / ran.seconds
    return f"{ran.calls['vault.set']} PATs and notes in {ran.seconds:.0f} s of {allowed:.0f} s, {busy:.0%} CPU"


def dispatcher(size: Size) -> list[Row]:
    with queue_bench(size, latency=0.0) as made:
        ran = made.dispatch()
    pages = size.pats // 25
    where = f" in {size.vaults} vaults" if size.vaults > 1 else ""
    what = f"dispatcher, {size.pats:,} items of {size.users:,} users{where}, all of them queued"
    each = f"  of it the vault's listing: {ran.listing / pages * 1000:.0f} ms a page without latency"
    return [
        Row(what, f"{ran.seconds:.0f} s", "≤ 120 s", ran.seconds <= 120),
        Row(each, f"{ran.listing:.0f} s", "most of it", ran.listing > ran.seconds / 2),
        Row("  its memory", f"{ran.memory:.0f} MB at most", "≤ 1,000 MB", ran.memory <= 1000),
    ]
