"""`notify --test` as a process, through the proxy and under TLS: the address arrives as it was written."""

from __future__ import annotations

import json
from pathlib import Path

from sandbox.cloud.seed import CREDENTIALS_VAULT, demo_estate, demo_pats_yaml
from sandbox.process.running import start
from shared.model.notices import EVENTS

KINDS = ("teams", "teams-card", "slack")
RECIPIENTS = [
    {"host": f"{kind}.example.com", "kind": kind, "vault": CREDENTIALS_VAULT, "secret": f"{kind}-url"} for kind in KINDS
]
NOTIFY = "notify:\n" + "".join(f"  - {{kind: {kind}, url_secret_name: {kind}-url}}\n" for kind in KINDS)


def test_rule_19_and_promise_7_a_process_tells_every_kind_and_shows_no_address(tmp_path: Path) -> None:
    (tmp_path / "pats.yaml").write_text(demo_pats_yaml() + NOTIFY, encoding="utf-8")
    with start({**demo_estate(), "recipients": RECIPIENTS}) as cloud:
        file = {"PATS_FILE": str(tmp_path / "pats.yaml")}
        done = cloud.run_product(["-m", "shared", "notify", "--test", "--json"], cwd=tmp_path, extra=file)
        estate, secrets = cloud.client.estate(), cloud.client.secrets()
        log = json.dumps(cloud.client.log())
    assert done.returncode == 0, done.stderr
    assert {one["kind"]: len(one["shown"]) for one in estate["recipients"]} == dict.fromkeys(KINDS, len(EVENTS))
    addresses = [secret for secret in secrets if secret.startswith("https://")]
    assert len(addresses) == len(KINDS)
    for secret in secrets:
        if len(secret) > 8:
            assert secret not in done.stdout + done.stderr + log
