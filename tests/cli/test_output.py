"""Output that fails never fails the work (promises 1 and 2): a closed stream is no stream, and a full disk one line."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.seed import demo_estate, demo_pats_yaml
from sandbox.process.environment import kept_environment
from sandbox.process.running import ROOT, Running, start
from shared.cli.command import UNTOLD
from shared.cli.main import main
from shared.cli.terminal import Output, Screen
from tests.lab.lab import ENVIRONMENT, Lab, item

ITEMS = ("a-pat", "b-pat", "c-pat")


class Failing(StringIO):
    """A stream that takes some writes and then fails each one, and a flush besides."""

    def __init__(self, failure: Exception, takes: int) -> None:
        super().__init__()
        self.failure = failure
        self.takes = takes

    def write(self, text: str) -> int:
        self.takes -= 1
        if self.takes < 0:
            raise self.failure
        return super().write(text)

    def flush(self) -> None:
        if self.takes < 0:
            raise self.failure


FAILURES = {
    "nobody reads": lambda: BrokenPipeError(errno.EPIPE, "Broken pipe"),
    "a full disk": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "a dead terminal": lambda: OSError(errno.EIO, "Input/output error"),
    "a closed file": lambda: ValueError("I/O operation on closed file."),
    "a bad descriptor": lambda: OSError(errno.EBADF, "Bad file descriptor"),
    "no such letter": lambda: UnicodeEncodeError("ascii", "ü", 0, 1, "ordinal not in range"),
    "a library's own": lambda: RuntimeError("reentrant call inside"),
}


def run(folder: Path, lab: Lab, out: StringIO, errors: StringIO, *arguments: str) -> int:
    (folder / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")
    return main(
        arguments or ("run",),
        environ=ENVIRONMENT,
        root=folder,
        out=out,
        errors=errors,
        make_world=lambda _, budget, tell: replace(lab.world(budget), tell=tell),
    )


@pytest.mark.parametrize("takes", [0, 1, 3])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_promises_1_and_2_progress_that_cannot_be_told_changes_nothing_of_the_work(
    tmp_path: Path, failure: Callable[[], Exception], takes: int
) -> None:
    lab = Lab([item(name) for name in ITEMS])
    assert run(tmp_path, lab, StringIO(), Failing(failure(), takes)) == 0
    assert all(lab.works(name) for name in ITEMS)
    assert len(lab.live()) == len(ITEMS), "nothing was minted and left"


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["a table", "a document"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_report_that_cannot_be_written_fails_nothing_and_a_full_disk_has_a_code_of_its_own(
    tmp_path: Path, failure: Callable[[], Exception], more: tuple[str, ...]
) -> None:
    lab, errors = Lab([item(name) for name in ITEMS]), StringIO()
    code = run(tmp_path, lab, Failing(failure(), 0), errors, "run", *more)
    assert all(lab.works(name) for name in ITEMS)
    last = errors.getvalue().splitlines()[-1]
    broken = failure()
    if isinstance(broken, OSError) and broken.errno in (errno.ENOSPC, errno.EIO):
        assert code == UNTOLD
        assert last == f"patrol: the output could not be written ({broken.strerror}); what was done is done."
    else:
        assert code == 0
        assert "could not be written" not in last


def test_a_full_disk_hides_no_other_failure(tmp_path: Path) -> None:
    lab = Lab([item(scopes=["vso.nonsense"])])
    full = Failing(OSError(errno.ENOSPC, "No space left on device"), 0)
    assert run(tmp_path, lab, full, StringIO()) == 1


def test_a_long_run_s_bar_on_a_dead_terminal_ends_nothing(tmp_path: Path) -> None:
    class Terminal(Failing):
        def isatty(self) -> bool:
            return True

    lab = Lab([item(f"pat-{number:02}") for number in range(60)], quick=True)
    (tmp_path / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")
    dead = Terminal(OSError(errno.EIO, "Input/output error"), 1)
    code = main(
        ["run"],
        environ=ENVIRONMENT,
        root=tmp_path,
        out=StringIO(),
        errors=dead,
        make_world=lambda _, budget, tell: replace(lab.quick_world(budget), tell=tell),
    )
    assert (code, len(lab.live())) == (0, 60)


def test_what_a_stream_still_holds_is_not_tried_again_when_the_interpreter_ends(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with os.fdopen(full, "wb") as raw:
        stream = TextIOWrapper(raw, encoding="utf-8")
        out = Output(stream)
        out.line("kept in the buffer")
        assert out.is_gone()
        assert out.lost == "No space left on device"
        stream.flush()  # into nowhere


def test_a_pat_whose_value_cannot_be_printed_is_not_made_or_said_to_be_lost(tmp_path: Path) -> None:
    lab, errors = Lab([item()]), StringIO()
    create = ("pats", "create", "--user", "svc-agents@contoso.com", "--name", "x", "--scopes", "vso.code")
    closed = StringIO()
    closed.close()
    assert run(tmp_path, lab, closed, errors, *create, "--show-value") == 2, errors.getvalue()
    assert lab.cloud.pats.all() == []
    assert run(tmp_path, lab, Failing(OSError(errno.ENOSPC, "full"), 0), errors, *create, "--show-value") == 1
    [made] = lab.cloud.pats.all()
    assert f"pats revoke {made.authorization_id} --user" in errors.getvalue()


# --- as people have it -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud() -> Iterator[Running]:
    with start(demo_estate()) as running:
        yield running


def in_a_shell(cloud: Running, line: str, folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    """A line of bash with PATROL in it, over an inventory whose secrets nobody else has."""
    (folder / "pats.yaml").write_text(only_new_items(tag), encoding="utf-8")
    environ = {**cloud.environment({"PATS_FILE": str(folder / "pats.yaml")}), "PYTHONPATH": str(ROOT)}
    patrol = shlex.join([sys.executable, "-m", "sandbox.process.launcher", "--control", cloud.control])
    return subprocess.run(
        ["/bin/bash", "-c", line.replace("PATROL", f"{patrol} -- -m shared")],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def only_new_items(tag: str) -> str:
    head = demo_pats_yaml().split("users:")[0]
    user = "users:\n  - username: svc-agents@contoso.com\n    password_secret_name: svc-agents-password\n    pats:\n"
    return head + user + "".join(f"      - {{secret: {tag}-{name}, scopes: [vso.code]}}\n" for name in ITEMS)


def published(cloud: Running, tag: str) -> tuple[int, int]:
    """How many PATs of these items live, and how many secrets hold one of them."""
    estate = cloud.client.estate()
    live = {
        pat["authorization_id"]
        for pat in estate["pats"]
        if f"/{tag}-" in pat["display_name"] and pat["state"] == "active"
    }
    secrets = [secret for vault in estate["vaults"] for secret in vault["secrets"] if secret["name"].startswith(tag)]
    current = {secret["versions"][-1]["tags"]["authorization-id"] for secret in secrets}
    return len(live), len(live & current)


LINES = {
    "progress into head": ("PATROL run 2> >(head -1 >/dev/null)", 0, ""),
    "all into head": ("PATROL run 2>&1 | head -1; exit ${PIPESTATUS[0]}", 0, ""),
    "the report into head": ("PATROL run | head -1; exit ${PIPESTATUS[0]}", 0, ""),
    "no standard output": ("PATROL run >&-", 0, ""),
    "no standard error": ("PATROL run 2>&-", 0, ""),
    "neither, and no input": ("PATROL run >&- 2>&- <&-", 0, ""),
    "a full disk": ("PATROL run >/dev/full", UNTOLD, "the output could not be written (No space left on device)"),
    "a full disk for all": ("PATROL run >/dev/full 2>&1", UNTOLD, ""),
    "a full disk for progress": ("PATROL run 2>/dev/full", 0, ""),
    "a document on a full disk": ("PATROL run --json >/dev/full", UNTOLD, "the output could not be written"),
}


# Of each kind of stream one is chosen for every day; `make test-all` has the rest.
DAILY = ("all into head", "neither, and no input", "a full disk")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in DAILY else pytest.mark.exhaustive) for name in LINES]
)
def test_promises_1_and_2_what_was_minted_is_published_whatever_becomes_of_the_output(
    cloud: Running, tmp_path: Path, name: str
) -> None:
    line, code, says = LINES[name]
    tag = f"n{list(LINES).index(name)}"
    ran = in_a_shell(cloud, line, tmp_path, tag)
    assert (ran.returncode, published(cloud, tag)) == (code, (len(ITEMS), len(ITEMS))), ran.stderr
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("--help >/dev/full", UNTOLD, "the output could not be written"),
        ("--help >&-", 0, ""),
        ("--version | head -0", 0, ""),
        ("rotatee 2>&-", 2, ""),
        ("rotatee 2>/dev/full", 2, ""),
        ("scopes | head -1", 0, ""),
        ("completion bash >/dev/full", UNTOLD, "the output could not be written"),
    ],
)
def test_help_is_no_exception(line: str, code: int, says: str) -> None:
    ran = subprocess.run(
        ["/bin/bash", "-c", f"{shlex.quote(sys.executable)} -m shared {line}; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        env=kept_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, says in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr


GATEWAY = {"status": 200, "body": "<html>a gateway</html>", "content_type": "text/html"}


@pytest.mark.parametrize("command", ["status", pytest.param("run", marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(
    ("fault", "environ"),
    [
        ({"operation": "vault.list", **GATEWAY}, {}),
        pytest.param({"operation": "vault.*", **GATEWAY, "status": 502}, {}, marks=pytest.mark.exhaustive),
        (None, {"IDENTITY_ENDPOINT": "http://127.0.0.1:9/token"}),
        pytest.param(
            None,
            {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
            marks=pytest.mark.exhaustive,
        ),
        (None, {"REQUESTS_CA_BUNDLE": "/etc/hostname"}),
        (None, {"REQUESTS_CA_BUNDLE": "/missing.pem"}),
    ],
    ids=["a gateway's page", "a gateway's error", "no identity", "no proxy", "no certificates", "no bundle"],
)
def test_promise_8_what_fails_on_the_way_out_is_two_lines_cause_first_and_no_library_says_more(
    cloud: Running, tmp_path: Path, fault: dict[str, Any] | None, environ: dict[str, str], command: str
) -> None:
    (tmp_path / "pats.yaml").write_text(demo_pats_yaml(), encoding="utf-8")
    if fault is not None:
        cloud.client.add_fault(kind="status", call=None, **fault)
    try:
        ran = cloud.run_product(["-m", "shared", command], extra={"PATS_FILE": str(tmp_path / "pats.yaml"), **environ})
    finally:
        cloud.client.clear_faults()
    assert ran.returncode in (1, 2)
    cause, remedy = ran.stderr.splitlines()
    assert cause.startswith("patrol: ")
    assert remedy.startswith("        ")


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_table_as_wide_as_it_is_where_nobody_looks_and_as_narrow_as_the_terminal_where_somebody_does() -> None:
    head, rows = ("secret", "organization", "state"), [("agents-linux-pat", "contoso", "healthy")]
    wide, narrow = StringIO(), StringIO()
    Screen(Output(wide), colours=False).table(head, rows, spare=("organization",))
    Screen(Output(narrow), colours=False, width=30).table(head, rows, spare=("organization",))
    assert wide.getvalue().splitlines()[1] == "agents-linux-pat  contoso       healthy"
    assert narrow.getvalue().splitlines() == [
        "secret            state",
        "agents-linux-pat  healthy",
        "Too narrow for: organization.",
    ]


def test_a_number_and_what_it_counts_stay_together() -> None:
    for width in range(24, 60):
        out = StringIO()
        Screen(Output(out), colours=False, width=width).paragraph(
            "It works on until 2026-03-01T12:00:00Z (in 22 h), and 14 days, 3 minutes or 29 days more."
        )
        for piece in ("12:00 UTC", "22 h", "14 days", "3 minutes", "29 days"):
            assert piece in out.getvalue(), (width, out.getvalue())


def test_a_command_in_a_sentence_is_not_broken() -> None:
    out = StringIO()
    command = "`patrol rotate agents-linux-pat --force --adopt`"
    Screen(Output(out), colours=False, width=40).paragraph(f"To take the secret back run {command}, or leave it.")
    lines = out.getvalue().splitlines()
    assert f"  {command}," in lines
    assert all(len(line) <= 40 for line in lines if command not in line)
