"""Scan what the template deploys with checkov, as the committed snapshots expand it: `make scan`.

Not the Bicep files themselves: checkov cannot read all of them, passes over those with exit code 0, and knows no
values.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SNAPSHOTS = sorted((HERE / "params").glob("*.snapshot.json"))
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"

# What checkov asks for and patrol does not do, each with its reason.
SKIPPED = {
    "CKV_AZURE_13": "judges every config resource of the site; authentication is asserted by tests where it is on",
    "CKV_AZURE_17": "callers have keys or tokens of Entra ID; certificates would be a third thing to renew",
    "CKV_AZURE_63": "logs go to Application Insights; Flex Consumption has no HTTP log of its own",
    "CKV_AZURE_65": "as CKV_AZURE_63",
    "CKV_AZURE_66": "as CKV_AZURE_63",
    "CKV_AZURE_80": "about .NET; the app is Python",
    "CKV_AZURE_88": "the app keeps no files",
    "CKV_AZURE_206": "what the storage holds, a new deployment makes again; storageSku asks for more",
    "CKV_AZURE_212": "Flex Consumption adds instances by itself",
    "CKV_AZURE_213": "Flex Consumption has no platform health check",
    "CKV_AZURE_222": "pipelines outside of the network call the HTTP API, with keys or tokens",
    "CKV_AZURE_225": "an always-ready count of two is its price; the timer is caught up after an outage",
}
# These are what networkMode decides: they hold where it is private.
OPEN_ONLY = {
    "CKV_AZURE_35": "storage is reached publicly, with tokens alone",
    "CKV_AZURE_59": "as CKV_AZURE_35",
    "CKV_AZURE_109": "the vaults are reached publicly, by role alone",
    "CKV_AZURE_189": "as CKV_AZURE_109",
}


def main() -> int:
    failed = False
    for snapshot in SNAPSHOTS:
        skipped = SKIPPED if "private" in snapshot.name else {**SKIPPED, **OPEN_ONLY}
        summary, wrong = scan(snapshot, skipped)
        print(f"{snapshot.name}: {summary}")
        for line in wrong:
            print(f"  {line}")
        failed = failed or bool(wrong)
    return 1 if failed else 0


def scan(snapshot: Path, skipped: dict[str, str]) -> tuple[str, list[str]]:
    """One line, and what is wrong."""
    resources = json.loads(snapshot.read_text(encoding="utf-8"))["predictedResources"]
    template = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": resources}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "template.json").write_text(json.dumps(template), encoding="utf-8")
        command = [sys.executable, "-m", "checkov.main", "--directory", folder, "--framework", "arm", "--skip-download"]
        command += ["--output", "json", "--quiet", "--skip-check", ",".join(skipped)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found: dict[str, Any] = json.loads(ran.stdout)
    if "summary" not in found:
        return "nothing was scanned", [ran.stdout.strip()]
    summary = found["summary"]
    failures = found["results"]["failed_checks"]
    wrong = [f"{one['check_id']} {one['check_name']}: {one['resource']}" for one in failures]
    # It ends well on what it cannot read.
    if summary["parsing_errors"] or not summary["passed"] or summary["resource_count"] < len(resources) / 2:
        wrong.append(f"not everything was read: {summary}")
    return f"{summary['passed']} passed, {summary['failed']} failed, {summary['resource_count']} resources", wrong


if __name__ == "__main__":
    sys.exit(main())
