"""Several instances of the app at once, as processes, on the sandbox and a storage that is opened by identity."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, demo_pats_yaml, deployment
from sandbox.functions_host.azurite import ACCOUNT, Ports, azurite, certificates_of
from sandbox.process.running import Running, start

SECRET = "agents-linux-pat"
READY_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Estate:
    cloud: Running
    settings: dict[str, str]
    folder: Path

    def minted(self) -> int:
        return sum(row["operation"] == "pats.create" for row in self.cloud.client.log())

    def live(self) -> list[dict[str, Any]]:
        """The technical user's live PATs with the mark of the secret."""
        pats = self.cloud.client.estate()["pats"]
        name = f"{deployment()}/{SECRET}"
        mine = [pat for pat in pats if pat["display_name"] == name and pat["owner"] == AGENTS]
        return [pat for pat in mine if pat["state"] == "active"]

    def send(self, door: str, body: dict[str, Any], instances: int, each: int) -> list[dict[str, Any]]:
        """`instances` × `each` requests at one moment."""
        arguments = ("-m", "tests.lab.instance", door, json.dumps(body), str(each), str(self.folder))
        with ExitStack() as stack:
            children = [
                stack.enter_context(self.cloud.start_product(arguments, extra=self.settings)) for _ in range(instances)
            ]
            end = time.monotonic() + READY_WITHIN
            while len(list(self.folder.glob("ready-*"))) < instances:
                assert time.monotonic() < end, [_failure(child) for child in children]
                time.sleep(0.05)
            (self.folder / "go").touch()
            answers: list[dict[str, Any]] = []
            for child in children:
                out, err = child.communicate(timeout=120)
                assert child.returncode == 0, err
                assert "lease." not in err, err
                assert "pool is full" not in err, "connections are kept"
                answers += json.loads(out)
        return answers


def _failure(child: subprocess.Popen[str]) -> str:
    return child.communicate()[1] if child.poll() is not None else "still starting"


@pytest.fixture
def estate(npm: None, tmp_path: Path) -> Iterator[Estate]:
    ports = Ports.free()
    with start("demo", routes=ports.routes) as cloud:
        inventory = tmp_path / "pats.yaml"
        inventory.write_text(demo_pats_yaml(), encoding="utf-8")
        settings = {
            "PATS_FILE": str(inventory),
            "AzureWebJobsStorage__accountName": ACCOUNT,
            "AzureWebJobsStorage__credential": "managedidentity",
        }
        with azurite(ports, certificates_of(cloud.environment())):
            yield Estate(cloud, settings, tmp_path)


def test_rule_8_twenty_forced_requests_at_one_moment_mint_one_pat_and_all_get_200(estate: Estate) -> None:
    # As far away as Azure: all have arrived when the first one publishes.
    estate.cloud.client.switch(latency=0.05)
    answers = estate.send("rotate", {"secrets": [SECRET], "force": True}, instances=2, each=10)
    assert [one["status"] for one in answers] == [200] * 20, answers
    because = Counter(reason for one in answers for reason in one["because"])
    assert because == {"forced": 1, "already-replaced": 19}
    assert estate.minted() == 1
    assert len(estate.live()) == 2, "the new one and its predecessor in overlap"


def test_rule_8_emergencies_of_two_instances_at_one_moment_leave_one_pat(estate: Estate) -> None:
    answers = estate.send("emergency", {"secrets": [SECRET]}, instances=2, each=2)
    assert [one["status"] for one in answers] == [200] * 4, answers
    assert len(estate.live()) == 1
    estate.cloud.client.move_clock(timedelta(hours=3))
    ran = estate.cloud.run_product(("-m", "shared", "run"), extra=estate.settings)
    assert ran.returncode == 0, ran.stderr
    assert "lease." not in ran.stderr, "the storage keeps the real time, and takes the sandbox's tokens all the same"
    assert len(estate.live()) == 1


def test_an_instance_that_is_killed_while_it_rotates_frees_the_item_within_the_budget_of_the_next(
    estate: Estate,
) -> None:
    body = {"secrets": [SECRET], "force": True}
    estate.cloud.client.add_fault("vault.set", "hang", seconds=120)
    dying = estate.folder / "dying"
    dying.mkdir()
    arguments = ("-m", "tests.lab.instance", "rotate", json.dumps(body), "1", str(dying))
    with estate.cloud.start_product(arguments, extra=estate.settings) as child:
        (dying / "go").touch()
        end = time.monotonic() + READY_WITHIN
        while estate.cloud.client.pending_faults():
            assert time.monotonic() < end, _failure(child)
            time.sleep(0.05)
        child.kill()
    (answer,) = estate.send("rotate", body, instances=1, each=1)
    assert (answer["status"], answer["because"]) == (200, ["forced"]), answer
    estate.cloud.client.move_clock(timedelta(hours=30))
    ran = estate.cloud.run_product(("-m", "shared", "run"), extra=estate.settings)
    assert ran.returncode == 0, ran.stderr
    assert len(estate.live()) == 1, "the PAT that the killed instance had minted has ended too"
