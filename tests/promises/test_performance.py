"""What a run costs in calls, and what it does when its time is not enough (rule 14)."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from sandbox.bench.rows import quiet_calls
from sandbox.cloud.large_estate import Size, estate, inventory_text
from sandbox.cloud.seed import AGENTS
from sandbox.process.running import ROOT
from shared import settings
from shared.fan_out.who_is_queued import WORTH_WHILE
from shared.functions.queue_trigger import SIDE_BY_SIDE
from shared.inventory import pats_yaml
from shared.model.clock import VaultInstant
from shared.model.pats import Pat, PatId
from shared.report.report import Outcome
from shared.rotation.observe import item_seen, secret_seen
from shared.rotation.publish import PUBLISH_WITHIN
from shared.services.rate_limits import SIGN_INS, VERSIONS
from tests.lab.fakes import FakePats
from tests.lab.lab import Lab, days, item


@pytest.mark.parametrize("size", [Size(1, 10), Size(7, 30), Size(50, 20), Size(2, 150)], ids=str)
def test_a_quiet_run_makes_as_many_calls_as_its_formula_says(size: Size) -> None:
    lab = Lab(estate=estate(size))
    lab.cloud.switches.irregular_vault_pages = False
    lab.large = pats_yaml.load(inventory_text(size))
    lab.run()  # the first sign-in of a user writes the note about it
    before = len(lab.operations())
    report = lab.run()
    assert [row.outcome for row in report.items] == [Outcome.HELD] * size.pats
    # The lab's identity is not asked over the wire: its token and one challenge come on top in a process.
    assert len(lab.operations()) - before == quiet_calls(size) - 3


class ById(dict[PatId, Pat]):
    """A user's listed PATs, of which none is looked at but by its id."""

    def values(self) -> NoReturn:
        raise AssertionError("every item would look at every PAT of its user")


def test_what_an_item_shows_grows_not_with_the_pats_of_its_user() -> None:
    lab = Lab([item(f"pat-{number}") for number in range(3)], quick=True)
    lab.run()
    listed = ById({pat.id: pat for pat in FakePats(lab.cloud, AGENTS, lab.trouble).active("contoso")})
    vault, now = lab.quick_world().vault, VaultInstant(lab.clock.now())
    listing = vault.listing()
    for one in lab.inventory().items():
        secret = secret_seen(one.secret, listing, vault, lab.settings.mark)
        api = FakePats(lab.cloud, AGENTS, lab.trouble)
        seen = item_seen(one, secret, listed, api, vault, lab.settings.mark, now)
        assert seen.pat is not None
        assert lab.settings.mark.secret_of(seen.pat.display_name) == one.key


def test_the_formula_is_the_one_in_the_docs() -> None:
    text = (ROOT / "docs/performance.md").read_text()
    for size in (Size(1, 10), Size(50, 20), Size(100, 100)):
        assert f"{quiet_calls(size):,} calls" in text


def test_the_arithmetic_of_the_queue_is_that_of_the_code_and_of_the_host() -> None:
    text = (ROOT / "docs/performance.md").read_text()
    known = settings.read({"KEY_VAULT_URL": "https://contoso.vault.azure.net"}, ROOT)
    queues = json.loads((ROOT / "host.json").read_text())["extensions"]["queues"]
    instances, batch = known.queue_instances, queues["batchSize"]
    share, sign_ins = VERSIONS.share(instances), SIGN_INS.share(instances)
    in_hand = batch + queues["newBatchThreshold"]
    assert f"| `maximumInstanceCount` = `QUEUE_INSTANCES` | {instances} |" in text
    assert f"| {share.most} versions in {share.within.total_seconds()} s |" in text
    assert f"| {sign_ins.most} in a minute |" in text
    assert sign_ins.within == timedelta(minutes=1)
    assert f"| `batchSize` | {batch} |" in text
    assert f"at most {in_hand} messages in hand, with {SIDE_BY_SIDE} items each" in text
    assert f"| `maxDequeueCount` | {queues['maxDequeueCount']} |" in text
    assert f"| a message is worth | {WORTH_WHILE / timedelta(hours=1):.0f} h |" in text
    waiting = in_hand * SIDE_BY_SIDE / share.most * share.within
    assert f"{waiting.total_seconds():.0f} s, far from the five minutes" in text
    assert waiting < PUBLISH_WITHIN
    for pats, column in ((1_000, 2), (10_000, 3), (100_000, 4)):
        asked = min(instances, math.ceil(pats / 20 / batch))
        minutes = pats / (asked * share.most) * share.within / timedelta(minutes=1)
        (row,) = [line.split("|") for line in text.splitlines() if line.startswith("| **full rotation**")]
        assert row[column].strip() == f"{minutes:.0f} min"


def busy_lab(items: int) -> Lab:
    """Everything is due, the later items first; each call of the vault takes 100 ms."""
    lab = Lab([item(f"pat-{number:05}") for number in range(items)], quick=True)
    lab.run()
    lab.wait(days(24))

    def takes_time(_: Any) -> None:
        lab.manual.move(timedelta(milliseconds=100))

    lab.trouble.before = takes_time
    return lab


@pytest.mark.exhaustive
def test_rule_14_ten_thousand_due_items_and_five_minutes_end_before_the_budget_and_nobody_is_starved() -> None:
    lab = busy_lab(10_000)
    versions = {secret.name: len(secret.versions) for secret in lab.vault.secrets()}
    replaced: list[set[str]] = []
    for _ in range(4):
        began = lab.clock.now()
        report = lab.run(budget=timedelta(minutes=5))
        assert lab.clock.now() - began < timedelta(minutes=5, seconds=2)
        done = {row.secret for row in report.items if row.outcome is Outcome.DONE}
        left = [row for row in report.items if row.outcome is Outcome.LEFT]
        assert len(done) + len(left) == 10_000 - sum(map(len, replaced)), "what was done before is held, not left"
        assert report.exit_code() == 1
        replaced.append(done)
    assert all(len(done) > 500 for done in replaced)
    assert len(set.union(*replaced)) == sum(map(len, replaced)), "no run repeats what another did"
    now = {secret.name: len(secret.versions) for secret in lab.vault.secrets()}
    assert {name for name, count in now.items() if count > versions[name]} == set.union(*replaced)


def test_rule_14_the_most_urgent_are_done_first() -> None:
    lab = Lab([item(f"pat-{number}", lifetime=f"{30 - number}d") for number in range(6)], quick=True)
    lab.run()
    lab.wait(days(24))

    def takes_time(_: Any) -> None:
        lab.manual.move(timedelta(seconds=20))

    lab.trouble.before = takes_time
    report = lab.run(budget=timedelta(minutes=4))
    done = [row.secret for row in report.items if row.outcome is Outcome.DONE]
    left = [row.secret for row in report.items if row.outcome is Outcome.LEFT]
    assert done
    assert left
    assert min(map(_number, done)) > max(map(_number, left)), "the ones with the least life left came first"


def _number(secret: str) -> int:
    return int(secret.rpartition("-")[2])


def test_one_sign_in_for_a_user_with_many_items() -> None:
    lab = Lab([item(f"pat-{number}") for number in range(30)])
    lab.run(parallel=8)
    assert lab.cloud.directory.user(AGENTS).token_requests == 1
