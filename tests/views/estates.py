"""Estates to look at: one in which everything happens, and large ones made of values."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.cloud.seed import AGENTS, SONAR, demo_estate
from shared.model.pats import PatId
from shared.model.steps import Because
from shared.model.tags import Predecessor
from shared.report.report import Verb
from shared.rotation.overview import Overview, Runs, overview
from shared.rotation.status import ItemStatus, Status
from shared.views.page import Facts
from tests.lab.fakes import FakeHistory
from tests.lab.lab import THEN, Lab, days, hours, item

NOW = datetime(2026, 11, 27, 9, 40, tzinfo=UTC)
FACTS = Facts("0.1.0", "contoso-prod", "kv-agents.vault.azure.net", "pats.yaml")


def troubled(start: datetime = datetime(2026, 11, 2, 2, tzinfo=UTC)) -> Lab:
    """Three weeks of runs, then a pasted value, a changed password, and a policy that refuses a PAT."""
    estate = {**demo_estate(), "pats": []}
    estate["vaults"] = [
        {**vault, "secrets": vault["secrets"] * (number > 0)} for number, vault in enumerate(estate["vaults"])
    ]
    agents = [
        item("agents-linux-pat", scopes=["vso.agentpools_manage"], lifetime="60d"),
        item("agents-windows-pat", scopes=["vso.agentpools_manage"]),
        item("feeds-read-pat", scopes=["vso.packaging"], lifetime="90d", rotate_before="25%"),
        item("release-notes-pat", lifetime="90d"),
        item("short-lived-pat", lifetime="3d", rotate_before="1d", overlap="1d"),
        item("website-build-pat", lifetime="45d", overlap="3d", rotate_before="20d"),
        item("old-tool-pat", paused=True),
    ]
    sonar = [
        item("sonarqube-pat", organization="fabrikam", scopes=["vso.code", "vso.code_status"], lifetime="90d"),
        item("sonarqube-second-pat", organization="fabrikam", lifetime="30d"),
    ]
    lab = Lab(
        estate=estate,
        users=[
            {"username": AGENTS, "password_secret_name": "svc-agents-password", "pats": agents},
            {"username": SONAR, "password_secret_name": "svc-sonar-password", "pats": sonar},
        ],
        start=start,
        quick=True,
    )
    lab.runs = FakeHistory(lab.clock)
    lab.sonarqube()
    agents[3]["then"] = THEN
    for _ in range(12):
        lab.run(door="timer")
        lab.wait(hours(48))
    lab.cloud.directory.set_password(SONAR, "changed by a person")
    for _ in range(4):
        lab.run(door="timer")
        lab.wait(hours(6))
    lab.vault.seed("feeds-read-pat", "pasted by a person")
    agents += [item("nightly-pat", scopes=["vso.nonsense"]), item("brand-new-pat")]
    lab.run(door="timer")
    lab.wait(hours(7))
    return lab


def seen_of(lab: Lab) -> Overview:
    return overview(lab.inventory(), lab.quick_world(), lab.settings.mark)


def large(many: int, now: datetime = NOW, **changes: Any) -> Overview:
    """So many healthy items, spread over their lives; `changes` of the first of them."""
    rows = [one(number, now) for number in range(many)]
    if rows and changes:
        rows[0] = ItemStatus(**{**{name: getattr(rows[0], name) for name in ItemStatus.__slots__}, **changes})
    return Overview(Status(now, tuple(rows)), Runs())


def one(number: int, now: datetime) -> ItemStatus:
    made = now - timedelta(hours=(number * 7) % (22 * 24))
    ends = made + days(30)
    identity = PatId(f"a0000000-0000-4000-8000-{hashlib.sha256(str(number).encode()).hexdigest()[:12]}")
    old = (Predecessor(identity, made + days(1)),) if made + days(1) > now else ()
    return ItemStatus(
        f"pat-{number:06}",
        f"svc-{number // 10:05}@contoso.com",
        "contoso",
        "healthy",
        ends,
        (ends - now).days,
        old,
        Verb.ROTATE,
        Because.NEAR_EXPIRY,
        ends - days(7),
        made_at=made,
        due_at=ends - days(7),
    )


def row_of(seen: Overview, name: str = "website-build-pat") -> ItemStatus:
    """What the status says of one secret."""
    return next(row for row in seen.status.pats if row.secret == name)
