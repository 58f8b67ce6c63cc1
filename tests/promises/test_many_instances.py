"""The queue with real parts: the dispatcher and eight instances as processes, on the TLS sandbox and Azurite.

160 technical users with five PATs each in three vaults, two or three of them due: 400; with `make chaos` 400 users and
1,000. Key Vault's limit of 300 versions in 10 s is off and each instance may use all of it, because so many versions
would take a while however many instances there are; `make bench` measures with it. Instances are killed while scripted
calls are under way and replaced as the host does, those calls lose their answer, and every seventh message comes twice
or three times. What an instance had in hand comes again after 15 s, and after a failure after 2 s: 10 and 2 minutes
with the real host.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from sandbox.cloud.large_estate import HEALTHY, NEAR_EXPIRY, OURS, Size, estate, inventory_text, secret, user, vault
from sandbox.functions_host.azurite import (
    ACCOUNT,
    BLOB_HOST,
    KEY,
    QUEUE_HOST,
    Ports,
    azurite,
    certificates_of,
    free_port,
)
from sandbox.functions_host.queue_trigger import Queues, wait_until_empty
from sandbox.process.running import ROOT, Running, start
from sandbox.serve import new_keys
from shared.fan_out.queue_message import POISON, QUEUE, read
from shared.model.tags import BLOCKED_PREFIX
from tests.conftest import WORDS

USERS = (160, pytest.param(400, marks=pytest.mark.chaos))
VAULTS = 3
INSTANCES = 8
DOUBLE = 7
WITHIN = 240.0
"""Far more than it takes, for machines with other work."""
KILLS = (
    ("pats.create", 0.06, False),
    ("vault.set", 0.12, True),
    ("devops.connection_data", 0.2, False),
    ("pats.create", 0.28, True),
    ("vault.set", 0.4, False),
)
"""While which call an instance is killed: operation, its number for each PAT that is due, and whether the call has its
effect.
"""

DELIVERED = re.compile(r"message (\S+), delivery (\d+)")
FINISHED = re.compile(r"user\.finished (\{.*\})")
ENDED = re.compile(r"user\.finished \{|message\.(?:late|dropped) \{")


@dataclass
class Instance:
    """One process of the app, and all it has logged."""

    child: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert self.child.stderr is not None
        self._reader = threading.Thread(target=self.lines.extend, args=(self.child.stderr,), daemon=True)
        self._reader.start()

    def in_hand(self) -> int:
        """How many deliveries it has begun and not ended."""
        told = "".join(list(self.lines))
        return len(DELIVERED.findall(told)) - len(ENDED.findall(told))

    def kill(self) -> None:
        self.child.kill()
        self.child.wait(10)
        self._reader.join(10)


@dataclass
class App:
    """The deployed app: its folder with shorter waits, its storage, and the instances that ever ran."""

    size: Size
    cloud: Running
    folder: Path
    settings: dict[str, str]
    queues: Queues
    blobs: BlobServiceClient
    instances: list[Instance] = field(default_factory=list)

    def start(self, port: int | None = None, **more: Any) -> Instance:
        host = {"port": port, "keys": {"functions": {}, "host": "", "master": "", **more}, "lock": 15}
        extra = {**self.settings, "SANDBOX_HOST": json.dumps(host)}
        made = Instance(self.cloud.start_product(("-m", "sandbox.functions_host.host"), cwd=self.folder, extra=extra))
        self.instances.append(made)
        return made

    def running(self) -> list[Instance]:
        return [one for one in self.instances if one.child.poll() is None]

    def dispatch(self) -> subprocess.CompletedProcess[str]:
        ran = self.cloud.run_product(("-m", "sandbox.functions_host.fire_timer"), cwd=self.folder, extra=self.settings)
        assert ran.returncode == 0, ran.stderr[-2000:]
        return ran

    def take(self) -> list[str]:
        """All that the dispatcher sent, taken off the queue."""
        texts = []
        queue = self.queues.named(QUEUE)
        for one in queue.receive_messages(messages_per_page=32, visibility_timeout=600):
            texts.append(self.queues.text(one))
            queue.delete_message(one)
        return texts

    def work_off(self) -> None:
        """Until nothing waits, and nobody still works on a message that came again to somebody quicker."""
        assert wait_until_empty(self.queues, QUEUE, WITHIN), [one.lines[-3:] for one in self.running()]
        end = time.monotonic() + WITHIN
        while any(one.in_hand() for one in self.running()):
            assert time.monotonic() < end, [one.lines[-3:] for one in self.running()]
            time.sleep(0.05)

    def report(self, run_id: str) -> Any:
        """`GET /api/runs/{run_id}`."""
        port, keys = free_port(), new_keys()
        reader = self.start(port, functions=dict(keys.functions), host=keys.host, master=keys.master)
        url, headers = f"http://127.0.0.1:{port}/api/runs/{run_id}", {"x-functions-key": keys.functions["runs"]}
        end = time.monotonic() + 60
        answer = None
        while answer is None:
            assert time.monotonic() < end, reader.lines
            try:
                answer = requests.get(url, headers=headers, timeout=60)
            except requests.ConnectionError:
                time.sleep(0.1)
        reader.kill()
        assert answer.status_code == 200, answer.text
        return answer.json()

    def logs(self) -> list[str]:
        return [line for one in self.instances for line in one.lines]


def is_due(number: int) -> bool:
    return number % 2 == 0


@pytest.fixture
def app(npm: None, users: int, tmp_path: Path) -> Iterator[App]:
    size = Size(users=users, each=5, vaults=VAULTS)
    whole = estate(size)
    published = {one["name"]: one for host in whole["vaults"] for one in host["secrets"]}
    for number, pat in enumerate(whole["pats"]):
        pat["valid_from"], pat["valid_to"] = NEAR_EXPIRY if is_due(number) else HEALTHY
        published[secret(number)]["created"] = pat["valid_from"]
    by_hand = {"organization": "contoso", "scope": "vso.code", "valid_from": "-5d", "valid_to": "+25d"}
    whole["pats"] += [
        {**by_hand, "owner": user(number), "display_name": "made by hand"} for number in range(0, users, 20)
    ]
    whole["vaults"][0]["secrets"].append({"name": "somebody-elses", "value": "left-alone-by-patrol", "created": "-9d"})
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "function_app.py").write_text((ROOT / "function_app.py").read_text(encoding="utf-8"), encoding="utf-8")
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    # Eight instances share the cores that one would have: as many at work as cores let answer in time.
    host["extensions"]["queues"] |= {"batchSize": 1, "newBatchThreshold": 1, "visibilityTimeout": "00:00:02"}
    (folder / "host.json").write_text(json.dumps(host), encoding="utf-8")
    inventory = tmp_path / "pats.yaml"
    # Two days, so that the second run, a day later, looks at everybody and ends no predecessor yet.
    inventory.write_text(inventory_text(size).replace("overlap: 1d", "overlap: 2d"), encoding="utf-8")
    settings = {
        "PATS_FILE": str(inventory),
        "QUEUE_INSTANCES": "1",
        "PARALLEL_USERS": "2",
        "AzureWebJobsStorage__accountName": ACCOUNT,
        "AzureWebJobsStorage__credential": "managedidentity",
    }
    ports = Ports.free()
    with ExitStack() as stack:
        cloud = stack.enter_context(start(whole, routes=ports.routes))
        stack.enter_context(azurite(ports, certificates_of(cloud.environment())))
        environment = cloud.environment()
        reach: dict[str, Any] = {
            "credential": {"account_name": ACCOUNT, "account_key": KEY},
            "proxies": {"https": environment["HTTPS_PROXY"]},
            "connection_verify": environment["REQUESTS_CA_BUNDLE"],
        }
        queues = Queues(QueueServiceClient(f"https://{QUEUE_HOST}", **reach))
        made = App(size, cloud, folder, settings, queues, BlobServiceClient(f"https://{BLOB_HOST}", **reach))
        try:
            yield made
        finally:
            for one in made.running():
                one.kill()


def secrets_of(estate_now: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The versions of each published secret, oldest first; patrol's notes of sign-ins (rule 12) are none."""
    hosts = [vault(number) for number in range(VAULTS)]
    secrets = [one for host in estate_now["vaults"] if host["host"] in hosts for one in host["secrets"]]
    published = [one for one in secrets if not one["name"].startswith(BLOCKED_PREFIX)]
    return {one["name"]: one["versions"] for one in published}


def not_ours(estate_now: dict[str, Any]) -> list[Any]:
    pats = [{**one, "uses": 0} for one in estate_now["pats"] if not one["display_name"].startswith(OURS)]
    return [pats, secrets_of(estate_now)["somebody-elses"]]


def live(estate_now: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Our live PATs by id."""
    ours = [one for one in estate_now["pats"] if one["display_name"].startswith(OURS)]
    return {one["authorization_id"]: one for one in ours if one["state"] == "active"}


def current_or_in_overlap(estate_now: dict[str, Any]) -> set[str]:
    """The PATs of all versions: the first of them was replaced less than the two days of overlap ago."""
    ours = {name: versions for name, versions in secrets_of(estate_now).items() if name != "somebody-elses"}
    return {version["tags"]["authorization-id"] for versions in ours.values() for version in versions}


def assert_published_values_work(estate_now: dict[str, Any]) -> None:
    alive = live(estate_now)
    for name, versions in secrets_of(estate_now).items():
        if name != "somebody-elses":
            pat = alive[versions[-1]["tags"]["authorization-id"]]
            assert (pat["value"], pat["owner"]) == (versions[-1]["value"], versions[-1]["tags"]["username"])


def user_of(text: str) -> str:
    due = read(text.encode()).due
    assert due is not None
    return due.username


@pytest.mark.parametrize("users", USERS)
def test_promises_hold_over_eight_instances_with_kills_and_messages_that_come_twice(app: App) -> None:
    client, size, due = app.cloud.client, app.size, app.size.pats // 2
    before = client.estate(reveal=True)
    dispatched = app.dispatch()
    texts = app.take()
    assert sorted(user_of(text) for text in texts) == [user(number) for number in range(size.users)]
    run_id = read(texts[0].encode()).run_id
    doubled = [text for number, text in enumerate(texts) for _ in range(2 if number % DOUBLE == 0 else 1)]
    late = texts[:: 2 * DOUBLE]
    users: dict[str, str] = {}
    for text in [*doubled, *late]:
        users[app.queues.send_one(QUEUE, text)] = user_of(text)

    for operation, share, after_effect in KILLS:
        client.add_fault(operation, "hang", call=int(due * share), seconds=3, after_effect=after_effect)
    for _ in range(INSTANCES):
        app.start()
    killed = 0
    end = time.monotonic() + WITHIN
    while killed < len(KILLS):
        assert time.monotonic() < end, app.logs()[-20:]
        if len(client.pending_faults()) < len(KILLS) - killed:
            app.instances[killed].kill()
            app.start()
            killed += 1
        time.sleep(0.02)
    app.work_off()

    # Each delivery signs its user in once. One that was killed may not have come that far.
    logs = "".join(app.logs())
    deliveries = Counter(users[one] for one, _ in DELIVERED.findall(logs))
    ended = Counter(json.loads(one)["username"] for one in FINISHED.findall(logs))
    signed_in = Counter(row["subject"] for row in client.log("entra.token"))
    assert set(signed_in) == {user(number) for number in range(size.users)}
    assert all(ended[one] <= signed_in[one] <= deliveries[one] for one in signed_in)
    assert sum(deliveries.values()) > len(users), "something came again because of the kills"
    assert sum(signed_in.values()) >= len(users)

    # Promise 1, and rule 8: every value works, and each was replaced once.
    after = client.estate(reveal=True)
    assert_published_values_work(after)
    versions = secrets_of(after)
    rotated = {secret(number): len(versions[secret(number)]) - 1 for number in range(size.pats)}
    assert all(rotated[secret(number)] == 0 for number in range(size.pats) if not is_due(number))
    assert all(rotated[secret(number)] >= 1 for number in range(size.pats) if is_due(number))
    # Nothing depends on the storage: where a busy machine lets it answer too late, an instance goes on without.
    if "lease." not in logs:
        twice = [name for name, times in rotated.items() if times > 1]
        assert not twice, [
            f"{at} {line}" for at, one in enumerate(app.instances) for line in one.lines if twice[0] in line
        ]
    assert current_or_in_overlap(after) <= set(live(after))
    assert not_ours(after) == not_ours(before), "promise 4"

    # The reports add up.
    report = app.report(run_id)
    rows = Counter(row["outcome"] for row in report["items"])
    assert {row["secret"] for row in report["items"]} == set(rotated)
    assert rows["done"] > due * 0.8, "held: what was not due, and what a killed instance had done without a word"
    if "report.failed" not in logs:
        assert report["progress"] == {"messages": size.users, "finished": size.users}
        assert set(rows) == {"done", "held"}
        assert (report["outcome"], bool(report["finished_at"])) == ("succeeded", True)

    # Promise 2: a day later everybody is looked at, and nothing is left of what was minted and never published.
    orphans = set(live(after)) - current_or_in_overlap(after)
    assert len(orphans) <= len(KILLS) * 5, "what was under way, and the call without an answer"
    client.move_clock(timedelta(hours=25))
    app.dispatch()
    app.work_off()
    at_the_end = client.estate(reveal=True)
    assert set(live(at_the_end)) == current_or_in_overlap(at_the_end)
    assert len(live(at_the_end)) >= size.pats + due
    assert_published_values_work(at_the_end)
    assert not_ours(at_the_end) == not_ours(before)
    assert app.queues.named(POISON).get_queue_properties().approximate_message_count == 0

    # Promise 7.
    told = [*texts, dispatched.stdout, dispatched.stderr, json.dumps(report), *app.logs()]
    container = app.blobs.get_container_client("patrol-runs")
    for blob in container.list_blobs(include=["metadata"]):
        told += [blob.name, str(blob.metadata), container.download_blob(blob.name).readall().decode()]
    told += [f"{row['path']} {row['query']}" for row in client.log()]
    words = {word for text in told for word in WORDS.findall(text)}
    assert words & {run_id}, "the search finds what is there"
    assert not words & {one for one in client.secrets() if len(one) > 8}
