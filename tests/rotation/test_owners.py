"""Whom things belong to is told with them, and a recipient of some owners hears of nothing else (rule 19)."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.model.errors import Misconfigured
from shared.report.report import Outcome, read_row, row_json
from shared.rotation.overview import overview
from shared.views import page
from shared.views.page import Facts, Wanted
from tests.lab.fakes import FakeTold
from tests.lab.lab import Lab, hours, item, row
from tests.views.estates import row_of

WEB, DATA = "team-web@contoso.com", "team-data@contoso.com"


def two_teams(**more: Any) -> Lab:
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [{"host": estate["vaults"][0]["host"], "secrets": []}, estate["vaults"][1]]
    users = [
        {"username": AGENTS, "password_secret_name": "svc-agents-password", "owner": WEB, "pats": [item("web-pat")]},
        {"username": SONAR, "password_secret_name": "svc-sonar-password", "owner": DATA, "pats": [item("data-pat")]},
    ]
    return Lab(users=users, estate=estate, quick=True, told_before=FakeTold(), **more)


def test_every_row_and_every_status_says_whom_it_belongs_to() -> None:
    lab = two_teams()
    report = lab.run()
    assert row_json(row(report, "web-pat"))["owner"] == WEB
    assert read_row(row_json(row(report, "data-pat"))).owner == DATA
    seen = overview(lab.inventory(), lab.world(), lab.settings.mark).status.to_json()
    pats: Any = seen["pats"]
    assert {pat["secret"]: pat["owner"] for pat in pats} == {"web-pat": WEB, "data-pat": DATA}


def test_a_report_from_before_owners_is_read() -> None:
    kept = dict(row_json(row(two_teams().run(), "web-pat")))
    del kept["owner"]
    assert read_row(kept).owner == ""


def test_rule_19_a_recipient_of_one_owner_is_told_of_what_is_that_owner_s() -> None:
    lab = two_teams()
    everybody, web = lab.recipient(), lab.recipient(owners=[WEB.upper()])
    lab.run()
    lab.vault.seed("data-pat", "pasted")
    lab.later(hours(6))
    assert [notice["data"]["items"][0]["owner"] for notice in everybody.received] == [DATA]
    assert web.received == []
    lab.vault.seed("web-pat", "pasted")
    lab.later(hours(6))
    (notice,) = web.received
    assert [(one["secret"], one["owner"]) for one in notice["data"]["items"]] == [("web-pat", WEB)]
    assert notice["data"]["items_in_all"] == 1


def test_rule_19_who_was_told_that_something_is_wrong_is_told_that_it_is_well() -> None:
    lab = two_teams()
    web = lab.recipient(owners=[WEB])
    lab.run()
    lab.vault.denied.add("set")
    lab.later(hours(600))
    lab.vault.denied.clear()
    lab.later(hours(1))
    assert [notice["type"] for notice in web.received] == ["patrol.failed", "patrol.recovered"]


def test_rule_19_a_blocked_user_is_told_to_those_whose_secrets_it_holds_up() -> None:
    lab = two_teams()
    web, data = lab.recipient(owners=[WEB]), lab.recipient(owners=[DATA])
    lab.cloud.directory.set_password(AGENTS, "changed by a person")
    lab.run()
    (notice,) = web.received
    assert (notice["type"], notice["subject"]) == ("patrol.blocked", AGENTS)
    assert data.received == []


def test_rule_19_what_concerns_the_deployment_is_no_team_s_notice() -> None:
    lab = two_teams()
    everybody, web = lab.recipient(), lab.recipient(owners=[WEB])
    lab.vault.denied.add("list")
    with pytest.raises(Misconfigured):
        lab.run()
    assert [notice["data"]["code"] for notice in everybody.received] == ["vault-forbidden"]
    assert web.received == []


def test_rule_19_an_emergency_of_another_team_is_not_its_business() -> None:
    lab = two_teams()
    web, data = lab.recipient(owners=[WEB]), lab.recipient(owners=[DATA])
    lab.run()
    lab.later(hours(6))
    lab.run("data-pat", emergency=True)
    assert web.received == []
    assert [notice["type"] for notice in data.received] == ["patrol.emergency"]


def test_an_owner_is_no_part_of_what_a_pat_is() -> None:
    lab = two_teams()
    lab.run()
    lab.users[0]["owner"] = DATA
    assert {one.outcome for one in lab.later(hours(6)).items} == {Outcome.HELD}


def test_the_page_shows_whom_a_pat_belongs_to_and_finds_it_by_that() -> None:
    lab = two_teams()
    lab.run()
    seen = overview(lab.inventory(), lab.world(), lab.settings.mark)
    facts = Facts("0.1.0", "contoso", lab.settings.vault_host, "teams")
    document = page.estate(seen, facts)
    assert WEB in document
    assert DATA in document
    assert DATA not in page.estate(seen, facts, wanted=Wanted(words="TEAM-WEB"))
    assert f"owner <bdi>{WEB}</bdi>" in page.one_pat(
        seen, row_of(seen, "web-pat"), (), lab.inventory(), facts, page.no_links
    )
