"""`check` and the other commands with an inventory of several files, and with one of blobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient

from sandbox.cloud.seed import demo_estate, demo_pats_yaml
from sandbox.functions_host.azurite import BLOB_HOST, KEY, Ports, azurite, certificates_of
from sandbox.process.running import ROOT, Running, start
from tests.lab.lab import Lab, item
from tests.lab.shell import Shell

TEAM = """\
users:
  - username: svc-web@contoso.com
    password_secret_name: svc-web-password
    pats: [{secret: web-pat, scopes: [vso.cod]}]
"""


THRICE = """
import os
from pathlib import Path
from shared import settings, wiring
known = settings.read(os.environ, Path())
first, *others = [wiring.inventory_of(known) for _ in range(3)]
print(*(other is first for other in others))
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Lab([item()]), tmp_path)


def folder(shell: Shell, **texts: str) -> str:
    place = shell.root / "inventory"
    place.mkdir()
    for name, text in texts.items():
        (place / f"{name}.yaml").write_text(text, encoding="utf-8")
    return str(place)


def test_check_tells_file_and_line_of_every_mistake(shell: Shell) -> None:
    place = folder(shell, platform=shell.lab.pats_yaml(), web=TEAM, data="users:\n- [\n")
    code, out, _ = shell("check", PATS_FILE=place)
    assert code == 2
    assert "data.yaml:2: is not readable" in out
    assert "web.yaml:4: users[0].pats[0].scopes[0] is not a known scope; did you mean vso.code?" in out
    shell.environ["PATS_FILE"] = place
    code, document = shell.json("check")
    assert [(one["file"], one["line"]) for one in document["problems"]] == [("data.yaml", 2), ("web.yaml", 4)]


def test_check_of_one_file_names_none(shell: Shell) -> None:
    shell.lab.items = [item(scopes=["vso.cod"])]
    _, document = shell.json("check")
    assert [one["file"] for one in document["problems"]] == [None]


@pytest.mark.parametrize(
    ("texts", "says"),
    [({}, "holds no file whose name ends with .yaml"), ({"web": TEAM}, "none of the files in {place} has `sign_in`")],
)
@pytest.mark.parametrize("command", ["check", "run", "status"])
def test_a_folder_that_says_how_nobody_signs_in_is_told_at_once(
    shell: Shell, texts: dict[str, str], says: str, command: str
) -> None:
    place = folder(shell, **texts)
    code, out, errors = shell(command, PATS_FILE=place)
    assert code == 2
    told = " ".join((out + errors).replace("\n ", "").split())
    assert says.format(place=place) in told
    assert shell.lab.cloud.calls() == []


def test_a_folder_in_order_is_worked_on(shell: Shell) -> None:
    place = folder(shell, platform=shell.lab.pats_yaml())
    assert shell("check", PATS_FILE=place)[0] == 0
    assert shell("run", PATS_FILE=place)[0] == 0
    assert shell.lab.works("build-pat")


def test_an_address_that_is_none_is_one_problem_of_the_settings(shell: Shell) -> None:
    shell.environ["PATS_FILE"] = "https://contoso.blob.core.windows.net/inventory/x.yaml?sig=abc"
    code, document = shell.json("check")
    assert code == 2
    (problem,) = document["problems"]
    assert problem["path"] == "settings"
    assert "PATS_FILE carries more than the blob's address: leave out the signature" in problem["says"]
    assert "sig=abc" not in str(document)


# --- blobs, over TLS and under their real names ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud(npm: None) -> Iterator[tuple[Running, BlobServiceClient]]:
    ports = Ports.free()
    with ExitStack() as stack:
        running = stack.enter_context(start(demo_estate(), routes=ports.routes))
        environment = running.environment()
        stack.enter_context(azurite(ports, certificates_of(environment)))
        # The test writes with the account's key, which a real one of this kind does not take.
        way: dict[str, Any] = {
            "proxies": {"https": environment["HTTPS_PROXY"]},
            "connection_verify": environment["REQUESTS_CA_BUNDLE"],
        }
        yield running, stack.enter_context(BlobServiceClient(f"https://{BLOB_HOST}", credential=KEY, **way))


def test_an_inventory_of_blobs_is_checked_run_and_missed(
    cloud: tuple[Running, BlobServiceClient], tmp_path: Path
) -> None:
    running, storage = cloud
    (tmp_path / "thrice.py").write_text(THRICE, encoding="utf-8")
    container = storage.create_container("inventory")
    container.upload_blob("teams/platform.yaml", demo_pats_yaml())
    one, several = (f"https://{BLOB_HOST}/inventory/{name}" for name in ("teams/platform.yaml", "teams/"))
    for place in (one, several):
        done = running.run_product(["-m", "shared", "check"], extra={"PATS_FILE": place})
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
    done = running.run_product(["-m", "shared", "run"], extra={"PATS_FILE": several})
    assert done.returncode == 0, done.stderr
    for place in (one, several):
        # What has not changed is asked for and not read: Azurite's word for it is the real one's.
        done = running.run_product([str(tmp_path / "thrice.py")], extra={"PATS_FILE": place, "PYTHONPATH": str(ROOT)})
        assert (done.returncode, done.stdout.strip()) == (0, "True True"), done.stderr
    container.upload_blob("teams/web.yaml", TEAM)
    done = running.run_product(["-m", "shared", "check"], extra={"PATS_FILE": several})
    assert done.returncode == 2
    assert "web.yaml:4: users[0].pats[0].scopes[0] is not a known scope" in done.stdout
    done = running.run_product(["-m", "shared", "check"], extra={"PATS_FILE": f"https://{BLOB_HOST}/inventory/no.yaml"})
    assert done.returncode == 2
    assert "was not given out (HTTP 404 BlobNotFound)" in " ".join(done.stdout.split())
