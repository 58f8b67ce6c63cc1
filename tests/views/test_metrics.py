"""Metrics: the text is OpenMetrics by its own parser, and the rules and the dashboard ask for what is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from sandbox.cloud.seed import PATS_VAULT
from shared.rotation.overview import Overview, Runs
from shared.views import metrics
from tests.lab.http_calls import app, principal, text_call
from tests.lab.lab import Lab, days, item
from tests.lab.shell import Shell
from tests.views.estates import NOW, large, seen_of, troubled
from tests.views.test_html import HOSTILE

DOCS = Path(__file__).resolve().parents[2] / "docs"
RULES = yaml.safe_load((DOCS / "metrics/alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DOCS / "metrics/dashboard.json").read_text())
NAMED = re.compile(r"patrol_[a-z_]+")


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What the strict parser makes of it; it raises for what is no OpenMetrics."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in openmetrics(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def names(text: str) -> set[str]:
    return {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    """Of the only series that has these labels."""
    (one,) = [number for (known, has), number in found.items() if known == name and labels.items() <= set(has)]
    return one


@pytest.fixture(scope="module")
def told() -> str:
    return metrics.text(seen_of(troubled()), "kv.vault.azure.net", "0.1.0")


def test_an_estate_in_trouble_is_told_in_numbers(told: str) -> None:
    found, seen = samples(told), seen_of(troubled())
    linux = next(row for row in seen.status.pats if row.secret == "agents-linux-pat")
    assert linux.expires_on is not None
    labels = {"vault": PATS_VAULT, "secret": "agents-linux-pat", "organization": "contoso"}
    assert value(found, "patrol_pat_expiration_timestamp_seconds", **labels) == linux.expires_on.timestamp()
    assert value(found, "patrol_pat_due_timestamp_seconds", **labels) < linux.expires_on.timestamp()
    assert value(found, "patrol_pat_state", secret="feeds-read-pat", state="edited") == 1
    assert value(found, "patrol_user_blocked", username="svc-sonar@contoso.com") == 1
    assert value(found, "patrol_user_blocked", username="svc-agents@contoso.com") == 0
    assert value(found, "patrol_cause_items", cause="user-blocked", subject="svc-sonar@contoso.com") == 2
    assert value(found, "patrol_run_last_outcome", outcome="partial") == 1
    assert value(found, "patrol_run_last_finished_timestamp_seconds", door="timer") < seen.status.as_of.timestamp()


def test_a_textfile_collector_s_older_parser_reads_it_too(told: str) -> None:
    assert {family.name for family in prometheus(told) if family.samples} <= names(told)
    assert told.endswith("# EOF\n")


def test_an_overdue_pat_and_an_estate_without_reports() -> None:
    found = samples(metrics.text(large(2, overdue=True, expires_on=NOW + days(1)), "kv", "0.1.0"))
    assert value(found, "patrol_pat_overdue", secret="pat-000000") == 1
    assert value(found, "patrol_pat_overdue", secret="pat-000001") == 0
    assert not [name for name, _ in found if name.startswith("patrol_run_")]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_labels(name: str) -> None:
    seen = large(1, secret=name, username=name, organization=name, state="expired")
    found = samples(metrics.text(Overview(seen.status, Runs()), "kv", "0.1.0"))
    assert value(found, "patrol_pat_state", state="expired") == 1


def test_every_metric_has_a_row_in_the_docs_and_no_other_has(told: str) -> None:
    rows = [line.split("`")[1] for line in (DOCS / "metrics.md").read_text().splitlines() if line.startswith("| `")]
    assert set(rows) == names(told)
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_are_there_and_says_what_to_do(rule: dict[str, Any], told: str) -> None:
    asked = set(NAMED.findall(rule["expr"]))
    assert asked
    assert asked <= names(told)
    assert len(rule["annotations"]["description"]) > 30
    labels = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert labels <= {"secret", "state", "username"}


def test_the_dashboard_asks_for_metrics_that_are_there(told: str) -> None:
    asked = {name for panel in DASHBOARD["panels"] for name in NAMED.findall(panel["targets"][0]["expr"])}
    assert asked <= names(told)
    assert len(asked) > 6
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_door_and_the_command_tell_the_same(tmp_path: Path) -> None:
    shell = Shell(Lab([item()]), tmp_path)
    shell("run")
    answer = text_call("metrics", app(shell.lab, tmp_path))
    assert (answer.status, answer.mimetype) == (200, metrics.MIMETYPE)
    assert samples(answer.text) == samples(shell("metrics")[1])
    code, out, errors = shell("metrics", "--output", str(tmp_path / "patrol.prom"))
    assert (code, out, errors) == (0, "", f"Wrote {tmp_path}/patrol.prom.\n")
    assert samples((tmp_path / "patrol.prom").read_text()) == samples(answer.text)


def test_its_role_opens_the_door(tmp_path: Path) -> None:
    entra = app(Lab([item()]), tmp_path, environ={"HTTP_AUTH": "entra", "WEBSITE_AUTH_ENABLED": "True"})
    assert text_call("metrics", entra, headers=principal("Pats.Read")).status == 200


# --- as Prometheus itself judges it ----------------------------------------------------------------------------------

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus)")
HOUR = 3600
SECRET = {"vault": "kv", "secret": "a-pat", "organization": "contoso"}
USER = {"vault": "kv", "username": "svc@contoso.com"}


def promtool(*words: str | Path, text: str = "") -> str:
    """What it says; it fails for what it does not take, or finds wanting."""
    assert PROMTOOL is not None
    ran = subprocess.run([PROMTOOL, *words], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@needs_promtool
def test_promtool_takes_the_metrics_and_has_nothing_to_say(told: str) -> None:
    assert promtool("check", "metrics", text=told) == ""


@needs_promtool
def test_promtool_takes_the_alert_rules() -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", DOCS / "metrics/alerts.yaml")


def series(name: str, at: float, **labels: str) -> dict[str, str]:
    """A series that has one value for two days, a sample for each minute."""
    shown = ", ".join(f'{key}="{text}"' for key, text in labels.items())
    return {"series": f"{name}{{{shown}}}", "values": f"{at:g}x2880"}


# By alert: a series that raises it after some hours, and one that does not. Time begins at 0.
ALARMS: dict[str, tuple[dict[str, str], dict[str, str], float]] = {
    "PatrolPatExpired": (
        series("patrol_pat_state", 1, state="expired", **SECRET),
        series("patrol_pat_state", 1, state="due", **SECRET),
        1,
    ),
    "PatrolPatOverdue": (
        series("patrol_pat_overdue", 1, **SECRET),
        series("patrol_pat_overdue", 0, **SECRET),
        1,
    ),
    "PatrolUserBlocked": (
        series("patrol_user_blocked", 1, **USER),
        series("patrol_user_blocked", 0, **USER),
        1,
    ),
    "PatrolRunsStopped": (
        series("patrol_run_last_finished_timestamp_seconds", 0),
        series("patrol_run_last_finished_timestamp_seconds", 7 * HOUR),
        14,
    ),
    "PatrolRunFailed": (
        series("patrol_run_last_outcome", 1, outcome="failed"),
        series("patrol_run_last_outcome", 1, outcome="partial"),
        1,
    ),
    "PatrolCredentialEnds": (
        series("patrol_credential_expiration_timestamp_seconds", 13 * 24 * HOUR, secret="svc-password"),
        series("patrol_credential_expiration_timestamp_seconds", 20 * 24 * HOUR, secret="svc-password"),
        1,
    ),
    "PatrolUnseen": (
        series("patrol_seen_timestamp_seconds", 0),
        series("patrol_seen_timestamp_seconds", 2 * HOUR),
        2,
    ),
}


@needs_promtool
@pytest.mark.parametrize("alert", [rule["alert"] for rule in RULES])
def test_each_alert_is_raised_by_what_it_is_for_and_by_nothing_else(alert: str, tmp_path: Path) -> None:
    raising, quiet, hours = ALARMS[alert]
    (rule,) = [rule for rule in RULES if rule["alert"] == alert]
    only = tmp_path / "rules.yaml"
    # Without annotations, whose words need no second copy here.
    bare = {key: value for key, value in rule.items() if key != "annotations"}
    only.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [bare]}]}), encoding="utf-8")
    labels = dict(re.findall(r'(\w+)="([^"]*)"', raising["series"]))
    fired = [{"exp_labels": {**labels, **rule["labels"]}}]
    cases = [
        {
            "input_series": [given],
            "interval": "1m",
            "alert_rule_test": [{"eval_time": f"{hours}h", "alertname": alert, "exp_alerts": expected}],
        }
        for given, expected in ((raising, fired), (quiet, []))
    ]
    test = tmp_path / "test.yaml"
    test.write_text(yaml.safe_dump({"rule_files": [str(only)], "tests": cases}), encoding="utf-8")
    assert "SUCCESS" in promtool("test", "rules", test)
