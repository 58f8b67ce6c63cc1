"""`notify --test`, and what `check` says of recipients."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.model.notices import EVENTS
from tests.lab.lab import Lab, item
from tests.lab.shell import Shell

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Lab([item()]), tmp_path)


def test_rule_19_notify_test_sends_one_of_each_to_every_recipient(shell: Shell) -> None:
    told = [shell.lab.recipient(kind) for kind in ("teams", "teams-card", "slack")]
    hook = shell.lab.recipient("webhook", KEY, on=["failed"])
    code, out, _ = shell("notify", "--test")
    assert code == 0
    assert [len(one.shown) for one in told] == [len(EVENTS)] * 3
    assert {one["type"] for one in hook.received} == {"patrol.test"}
    assert [one["data"]["code"] for one in hook.received] == [event.value for event in EVENTS]
    assert len({one["id"] for one in hook.received}) == len(EVENTS)
    assert "only the channel shows" in out
    assert "ok     webhook-3-url (webhook): HTTP 204 for failed, blocked" in out


def test_rule_19_notify_test_says_who_did_not_take_it_and_why(shell: Shell) -> None:
    shell.lab.recipient("slack")
    hook = shell.lab.recipient("webhook")
    shell.lab.cloud.add_fault("notice.slack", "status", call=None, status=404, body="no_service")
    code, document = shell.json("notify", "--test")
    assert code == 1
    wrong = [one for one in document["tests"] if one["error"]]
    assert [(one["recipient"], one["error"]["code"]) for one in wrong] == [("slack-0-url", "recipient-refused")]
    assert len(hook.received) == len(EVENTS)
    assert document["proves"]["webhook"].startswith("The receiver took it.")


def test_rule_19_notify_test_is_no_run_and_remembers_nothing(shell: Shell) -> None:
    shell.lab.recipient()
    shell("notify", "--test")
    assert {row.operation.partition(".")[0] for row in shell.lab.cloud.calls()} <= {"vault", "notice"}
    assert not any(row.effect for row in shell.lab.cloud.calls() if row.operation.startswith("vault."))


def test_notify_alone_does_nothing(shell: Shell) -> None:
    code, _, errors = shell("notify")
    assert code == 2
    assert "--test" in errors


def test_notify_without_a_recipient_says_so(shell: Shell) -> None:
    code, out, _ = shell("notify", "--test")
    assert (code, "names nobody to tell" in out) == (0, True)


def test_promise_8_check_knows_the_kinds_and_the_events_with_lines(shell: Shell) -> None:
    shell.lab.notify += [
        {"kind": "team", "url_secret_name": "a-url"},
        {"kind": "slack", "url_secret_name": "https://hooks.slack.com/services/T/B/hidden-token", "on": ["faild"]},
        {"kind": "slack", "url_secret_name": "b-url", "signing_secret_name": "b-key"},
    ]
    code, out, _ = shell("check")
    assert code == 2
    assert "notify[0].kind must be 'teams', 'teams-card', 'slack' or 'webhook'; did you mean teams?" in out
    assert "notify[1].on[0] must be" in out
    assert "did you mean failed?" in out
    assert "only kind webhook does" in out
    assert "hidden-token" not in out
    assert all(line.startswith("pats.yaml:") for line in out.splitlines())


def test_check_takes_on_without_quotes(shell: Shell) -> None:
    """YAML 1.1 reads a bare `on` as true."""
    shell.lab.recipient()
    text = shell.lab.pats_yaml().replace("- kind: webhook", "- on: [failed, done]\n  kind: webhook")
    (shell.root / "pats.yaml").write_text(text)
    shell.writes = False
    assert shell("check")[0] == 0


def test_check_online_reads_addresses_and_sends_nothing(shell: Shell) -> None:
    hook = shell.lab.recipient("webhook", KEY)
    shell.lab.notify.append({"kind": "slack", "url_secret_name": "patrol-demo"})
    vault = shell.lab.cloud.vaults["patrol-demo-creds.vault.azure.net"]
    vault.seed("patrol-demo", "http://hooks.contoso.com/plain-text-token", created=shell.lab.clock.now())
    code, out, _ = shell("check", "--online")
    assert code == 1
    assert "ok     read where the webhook recipient webhook-0-url is" in out
    assert "FAILED read where the slack recipient patrol-demo is" in out
    assert "plain-text-token" not in out
    assert hook.received == []


def test_rule_19_a_run_at_the_terminal_says_who_was_not_told_and_ends_well(shell: Shell) -> None:
    shell.lab.recipient("slack", on=["done"])
    shell.lab.cloud.add_fault("notice.slack", "status", call=None, status=404, body="no_service")
    code, out, _ = shell("run")
    assert code == 0
    assert "Not told: slack-0-url" in out
    assert "HTTP 404" in out
