"""Random histories of items that move between two vaults, with consumers of every kind and readers (rules 17 and 18).

All that tests/promises/test_two_users.py draws, and: one vault gives no answer or takes no write, one consumer refuses
while another takes it, and readers hold what they have read.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from sandbox.cloud.pats import Pat
from shared.model.errors import Code, Denied, PatrolError, Unclear
from shared.report.report import Outcome, Report
from tests.lab.consumers import KINDS, SERVICE_CONNECTION, SONARQUBE, WEBHOOK
from tests.lab.copies import kept, pods
from tests.lab.fakes import Trouble
from tests.lab.lab import Lab, days, hours, item
from tests.lab.places import Places
from tests.lab.readers import AGENT, SONAR_APP, FakeLogs
from tests.lab.several_vaults import AGENTS_VAULT, HOME, SeveralVaults
from tests.promises.test_two_users import (
    FIXED,
    OVERLAP,
    PLAIN,
    PUSHED,
    STAYS,
    THOROUGH,
    TwoUsers,
    Undisturbed,
    asked,
    calls,
    names,
)

HOSTS = (HOME, AGENTS_VAULT)
HOLD = days(1)
READERS = (AGENT, SONAR_APP)
hosts = st.sampled_from(HOSTS)
several = st.lists(st.sampled_from(KINDS), unique_by=str, max_size=len(KINDS))
LOST = ("vault.set", "vault.update", "vault.get", "vault.list", "vault.versions")


class Moves(Undisturbed):
    """`takes`: how each consumer that refuses takes values again."""

    def make_lab(self, estate: dict[str, Any]) -> Lab:
        made = SeveralVaults(estate=estate, quick=self.quick, hosts=(AGENTS_VAULT,))
        self.logs = made.logs = FakeLogs(made.clock)
        self.places: dict[str, str] = {}
        self.put_back: set[str] = set()
        self.takes: dict[str, Callable[[], None]] = {}
        return made

    def judge_of(self, name: str) -> Any:
        return Places(self.lab, name, OVERLAP, HOSTS, self.logs, self.longest(name) - OVERLAP)

    def begin(self) -> None:
        SERVICE_CONNECTION.prepare(self.lab)
        WEBHOOK.prepare(self.lab)
        self.keys[PUSHED] = {"then": [kind.then for kind in KINDS]}
        self.keys[PLAIN] = {"hold_for_readers": "1d"}
        self.write()

    def write(self) -> None:
        super().write()
        for user in self.lab.users:
            for one in user["pats"]:
                one["vault"] = f"https://{self.places.get(one['secret'], HOME)}"
        # A vault is in sight while pats.yaml names it, and one name is in both.
        self.lab.users[-1]["pats"].append(item(STAYS, organization="fabrikam", vault=f"https://{AGENTS_VAULT}"))

    def run_once(self, *wanted: str, **asks: Any) -> Report | None:
        for places in self.judges.values():
            places.run_begins()
        report = super().run_once(*wanted, **asks)
        failed = [one for one in report.items if one.outcome is Outcome.FAILED] if report is not None else [None]
        for places in self.judges.values() if not wanted and not failed and not self.lab.trouble_at else ():
            places.run_was_whole()
        return report

    def live(self, name: str) -> list[Pat]:
        return [pat for pat in self.lab.cloud.live_pats() if pat.display_name.endswith(f"/{name}")]

    # pats.yaml

    def move(self, name: str, host: str) -> None:
        note(f"{name} moves to {host}")
        self.places[name] = host
        self.judges[name].move(host)
        self.write()

    @rule(name=names, host=hosts)
    def an_item_moves(self, name: str, host: str) -> None:
        self.move(name, host)

    @rule(name=names)
    def an_item_moves_and_back(self, name: str) -> None:
        """With a run in each vault, and within an overlap."""
        self.meet()
        for _ in HOSTS:
            here = self.judges[name].host
            self.move(name, HOSTS[1 - HOSTS.index(here)])
            self.run_once()
            self.lab.wait(hours(1))

    @rule(call=calls, name=names, host=hosts, asks=asked)
    def an_item_moves_while_a_run_is_under_way(self, call: int, name: str, host: str, asks: dict[str, bool]) -> None:
        """The run goes on with the pats.yaml that it has read; another one reads the new one meanwhile."""

        def another() -> None:
            self.move(name, host)
            self.run_once(*([name] if asks else []), **asks)
            self.lab.wait(timedelta(seconds=2))

        self.at_call(call, another)
        self.run_once()
        # What it has seen elsewhere it takes for what the item left: then nobody names the old one (docs/proof.md).
        self.judges[name].owed = set()

    @rule(kinds=several)
    def then_comes_and_goes(self, kinds: list[Any]) -> None:
        self.change_then(kinds)

    @rule(kinds=several, host=hosts)
    def then_changes_with_a_move(self, kinds: list[Any], host: str) -> None:
        self.change_then(kinds)
        self.move(PUSHED, host)

    def change_then(self, kinds: list[Any]) -> None:
        with suppress(KeyError):
            newest = self.newest(PUSHED).value
            self.put_back -= {kind.name for kind in KINDS if kind.keeps_copy and self.copy_of(kind) == newest}
        kinds = [kind for kind in KINDS if kind in kinds or kind.name in self.put_back]
        self.keys[PUSHED] = {"then": [kind.then for kind in kinds]} if kinds else {}
        note(f"then: {[str(kind) for kind in kinds]}")
        self.judges[PUSHED].is_told(WEBHOOK in kinds)
        self.write()

    def copy_of(self, kind: Any) -> str:
        return dict(zip((SONARQUBE.name, SERVICE_CONNECTION.name), kept(self.lab.cloud), strict=True))[kind.name]

    def look(self) -> None:
        if WEBHOOK.then not in self.keys[PUSHED].get("then", []):
            self.judges[PUSHED].is_told(False)
        super().look()

    # consumers, vaults and logs that fail

    @rule(kind=st.sampled_from(KINDS))
    def a_consumer_refuses(self, kind: Any) -> None:
        if str(kind) not in self.takes:
            note(f"{kind} refuses")
            self.takes[str(kind)] = kind.refuse(self.lab)

    @rule(kind=st.sampled_from(KINDS))
    def a_consumer_takes_again(self, kind: Any) -> None:
        self.takes.pop(str(kind), lambda: None)()

    @rule(kind=st.sampled_from((SONARQUBE, SERVICE_CONNECTION)), name=st.just(PUSHED))
    def somebody_puts_an_older_value_back(self, kind: Any, name: str) -> None:
        """One that lives: of what a person breaks nobody is asked. And `then` stays: of another nobody knows."""
        live = [one.value for one in self.live(name)]
        if live and kind.then in self.keys[PUSHED].get("then", []):
            self.put_back.add(kind.name)
            note(f"an older value is put back into {kind}")
            kind.put_back(self.lab, live[0])

    @rule(host=hosts, what=st.sampled_from(["silent", "no writes", "no listing"]))
    def a_vault_fails(self, host: str, what: str) -> None:
        note(f"{host}: {what}")
        refused = {"no writes": "vault.set", "no listing": "vault.list"}.get(what)

        def fails(operation: str) -> PatrolError | None:
            if refused is None:
                return Unclear(Code.VAULT_UNREACHABLE, "no answer", "-")
            return Denied(Code.VAULT_FORBIDDEN, "HTTP 403", "-") if operation == refused else None

        self.lab.trouble_at[host] = Trouble(before=fails)

    @rule()
    def vaults_answer_again(self) -> None:
        self.lab.trouble_at.clear()

    @rule(host=hosts, operation=st.sampled_from(LOST), name=names, asks=asked)
    def one_vault_s_answers_are_lost(self, host: str, operation: str, name: str, asks: dict[str, bool]) -> None:
        note(f"answers of {host} to {operation} are lost")
        self.meet()
        lost = Trouble(after=lambda known: Unclear(Code.VAULT_UNREACHABLE, "lost", "-") if known == operation else None)
        before = dict(self.lab.trouble_at)
        self.lab.trouble_at[host] = lost
        self.run_once(*([name] if asks else []), **asks)
        self.lab.trouble_at = before

    @rule(kind=st.sampled_from(KINDS), name=names, asks=asked)
    def a_consumer_s_answer_is_lost(self, kind: Any, name: str, asks: dict[str, bool]) -> None:
        self.an_answer_is_lost(kind.write, name, asks)

    @rule(who=st.sampled_from(READERS), name=names, host=hosts)
    def somebody_reads(self, who: str, name: str, host: str) -> None:
        self.judges[name].somebody_reads(who, host)

    @rule(down=st.booleans())
    def the_log_comes_and_goes(self, down: bool) -> None:
        self.logs.down = down

    # what holds in the end

    def longest(self, name: str) -> Any:
        return OVERLAP + (HOLD if name == PLAIN else hours(0))

    def settle(self) -> None:
        self.vaults_answer_again()
        for takes in self.takes.values():
            takes()
        self.logs.down = False
        super().settle()
        self.keys[PUSHED] = {"then": [kind.then for kind in KINDS]}
        self.write()

    def is_told(self, pat: Pat, report: Report) -> bool:
        """What the vault has that the item left: told as unmanaged, and as a leftover where it is not published."""
        host, name = self.lab.watch.made_for(pat) or ("", "")
        if host == self.judges[name].host:
            return False
        versions = self.judges[name].judges[host].versions()
        published = bool(versions) and versions[-1].value == pat.value
        if len({one.created for one in versions}) < len(versions):
            return True  # which of two versions of one second came first nobody can tell
        published = published and pat.authorization_id not in self.judges[name].owed
        unmanaged = published and any(one.endswith(name) for one in report.unmanaged)
        return unmanaged or pat.authorization_id in {one.authorization_id for one in report.leftovers}

    def look_at_copies(self) -> None:
        newest = self.newest(PUSHED).value
        assert kept(self.lab.cloud) == [newest] * 2, "promise 1: copies"
        judge = self.judges[PUSHED].judge
        told = [pat for pat in map(judge.holder, pods(self.lab.cloud)) if pat is not None]
        # A webhook is told of a version once: not again where the item comes back to it (docs/vaults.md).
        assert all(not pat.revoked or judge.has_leaked(pat) for pat in told), "promise 1: a pod"


class Edited(Moves, TwoUsers):
    """And people write tags and values, as of one vault."""

    def tag(self, name: str, **tags: str | None) -> None:
        self.judges[name].touch()
        super().tag(name, **tags)

    @rule(name=names)
    def somebody_pastes_the_same_value_again(self, name: str) -> None:
        self.judges[name].touch()
        with suppress(KeyError):
            note(f"pasted over {name}")
            self.judges[name].vault.set_secret(name, self.newest(name).value)


MACHINES = pytest.mark.parametrize("machine", [Moves, Edited])


@MACHINES
def test_promises_1_2_3_and_4_hold_for_items_that_move_and_for_all_consumers(machine: type[Moves]) -> None:
    run_state_machine_as_test(machine, settings=settings(FIXED, max_examples=6))


@pytest.mark.exhaustive
@MACHINES
def test_promises_1_2_3_and_4_hold_in_more_histories_of_two_vaults(machine: type[Moves]) -> None:
    run_state_machine_as_test(machine, settings=settings(FIXED, max_examples=15, stateful_step_count=40))


@pytest.mark.chaos
@MACHINES
def test_promises_1_2_3_and_4_hold_in_very_many_histories_of_two_vaults(machine: type[Moves]) -> None:
    run_state_machine_as_test(machine, settings=settings(THOROUGH, max_examples=400))
