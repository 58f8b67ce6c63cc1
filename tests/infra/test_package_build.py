"""How the deployment package is built: for the target whatever builds it, by pip as it is configured, or not at all."""

from __future__ import annotations

import hashlib
import marshal
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from packaging.markers import Marker

from infra import package
from sandbox.process.running import ROOT
from shared.inventory import files

LOCKED = (ROOT / "requirements.txt").read_text(encoding="utf-8")
NAME, MODULE = "patrol-tried", "patrol_tried"
METADATA = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\nRequires-Python: ==3.13.*\n"
WHEEL = f"{MODULE}-1.0-py3-none-any.whl"


def test_the_pins_that_are_taken_are_those_of_the_target_whichever_python_builds() -> None:
    taken = [line.partition(" ")[0] for line in package.wanted(LOCKED)]
    assert [pin for pin in taken if pin.startswith("azure-functions==")] == ["azure-functions==2.3.0"]
    assert len(taken) == len(set(taken)) > 20
    assert all(" --hash=sha256:" in line for line in package.wanted(LOCKED))


MARKERS = sorted(set(re.findall(r" ; (.*?) \\", LOCKED)))
CONDITIONS = [
    "python_version >= '3.9'",
    "python_version < '3.13'",
    "'3.13' <= python_version",
    "python_full_version >= '3.13.1'",
    "python_full_version < '3.14' and sys_platform == 'linux'",
    "sys_platform == 'win32' or platform_machine == 'x86_64'",
    "(os_name == 'nt' or python_version > '3.12') and platform_system != 'Darwin'",
    "platform_machine in 'x86_64 amd64'",
    "sys_platform not in 'darwin win32'",
]


@pytest.mark.parametrize("marker", [*MARKERS, *CONDITIONS])
def test_a_marker_is_judged_as_pip_would_judge_it_on_the_target(marker: str) -> None:
    assert package.applies(marker) is Marker(marker).evaluate({key: package.TARGET[key] for key in package.TARGET})


@pytest.mark.parametrize(
    "marker", ["python_version ~= '3.13'", "extra == 'x'", "sys_platform < 'linux'", "1 == 1", "x("]
)
def test_a_marker_that_cannot_be_judged_ends_the_build_and_leaves_nothing_out(marker: str) -> None:
    with pytest.raises(package.NotBuilt, match="cannot judge the marker"):
        package.applies(marker)


@pytest.mark.parametrize("line", ["requests", "requests>=2", "requests==2.34.2", "-r other.txt", "git+https://x/y"])
def test_what_is_not_pinned_with_a_hash_ends_the_build(line: str) -> None:
    with pytest.raises(package.NotBuilt, match="Not pinned with a hash"):
        list(package.wanted(line))


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder that is an index with one wheel."""
    folder = tmp_path / "index" / NAME
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as made:
        made.writestr(f"{MODULE}.py", "worth = 1\n")
        made.writestr(f"{MODULE}-1.0.dist-info/METADATA", METADATA)
        made.writestr(f"{MODULE}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{MODULE}-1.0.dist-info/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    return folder.parent


@pytest.fixture
def requirements(index: Path, tmp_path: Path) -> Path:
    """Pins that wheel, and, for another Python, what no index has."""
    path = tmp_path / "requirements.txt"
    sha = hashlib.sha256((index / NAME / WHEEL).read_bytes()).hexdigest()
    other = f"not-there==1 ; python_version < '3.13' \\\n    --hash=sha256:{'0' * 64}\n"
    path.write_text(f"{other}{NAME}==1.0 \\\n    --hash=sha256:{sha}\n    # via patrol\n")
    return path


def environment(folder: Path, **configured: str) -> dict[str, str]:
    """As bare as can be, so that only what a test configures counts."""
    (folder / "home").mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    # An empty file in the place of every other one: this machine's own may name a certificate or an index.
    alone = {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "1", "PIP_NO_CACHE_DIR": "1"}
    return {**kept, "HOME": str(folder / "home"), **alone, **configured}


def configuration(folder: Path, **options: str) -> str:
    path = folder / "pip.conf"
    path.write_text("[global]\n" + "".join(f"{key.replace('_', '-')} = {value}\n" for key, value in options.items()))
    return str(path)


def installed(folder: Path) -> bool:
    return (folder / ".python_packages" / "lib" / "site-packages" / f"{MODULE}.py").exists()


def test_pip_s_own_configuration_counts(tmp_path: Path, index: Path, requirements: Path) -> None:
    configured = configuration(tmp_path, index_url=index.as_uri(), user="true")
    package.build(tmp_path / "made", requirements, environment(tmp_path, PIP_CONFIG_FILE=configured))
    assert installed(tmp_path / "made")
    held = {path.name for path in (tmp_path / "made").iterdir()} - {"__pycache__"}
    assert held == {*package.FILES, "shared", ".python_packages"}
    assert not (tmp_path / "made.new").exists()


OWN = "# your-tenant is the example's\nsign_in:\n  tenant: contoso.onmicrosoft.com\n"


def test_your_own_inventory_goes_along(tmp_path: Path, index: Path, requirements: Path) -> None:
    (tmp_path / "pats.yaml").write_text(OWN)
    known = environment(tmp_path, PIP_INDEX_URL=index.as_uri())
    package.build(tmp_path / "made", requirements, known, inventory=tmp_path / "pats.yaml")
    assert (tmp_path / "made" / "pats.yaml").read_text() == OWN


def test_an_inventory_of_several_files_goes_along_under_its_own_name(
    tmp_path: Path, index: Path, requirements: Path
) -> None:
    folder = tmp_path / "inventory"
    folder.mkdir()
    for name in ("platform.yaml", "team-web.yaml", "README.md", ".draft.yaml"):
        (folder / name).write_text(OWN)
    known = environment(tmp_path, PIP_INDEX_URL=index.as_uri())
    package.build(tmp_path / "made", requirements, known, inventory=folder)
    assert {path.name for path in (tmp_path / "made" / "inventory").iterdir()} == {"platform.yaml", "team-web.yaml"}
    assert not (tmp_path / "made" / "pats.yaml").exists()
    (folder / "team-web.yaml").write_text("users:\n  - username: svc@your-tenant.onmicrosoft.com\n")
    with pytest.raises(package.NotBuilt, match=r"team-web.yaml still has placeholders of pats.example.yaml \(line 2\)"):
        package.build(tmp_path / "made", requirements, known, inventory=folder)
    for file in folder.glob("*.yaml"):
        file.unlink()
    with pytest.raises(package.NotBuilt, match=r"holds no file whose name ends with \.yaml"):
        package.build(tmp_path / "made", requirements, known, inventory=folder)


def test_azd_s_own_environment_says_what_goes_along() -> None:
    assert package.chosen({}) == ROOT / "pats.yaml"
    assert package.chosen({"PATROL_PATS_FILE": "inventory"}) == ROOT / "inventory"
    assert package.chosen({"PATROL_PATS_FILE": "https://contoso.blob.core.windows.net/inventory/"}) is None
    assert package.chosen({"PATROL_INVENTORY_FROM": "blobs"}) is None


@pytest.mark.parametrize("without", [False, True], ids=["the example", "none"])
def test_promise_8_an_inventory_that_would_fail_at_the_first_timer_is_not_packaged(
    without: bool, tmp_path: Path
) -> None:
    inventory = tmp_path / "pats.yaml"
    if not without:
        shutil.copy2(ROOT / "pats.example.yaml", inventory)
    with pytest.raises(package.NotBuilt) as why:
        package.build(tmp_path / "made", tmp_path / "not read", {}, inventory=inventory)
    (lines,) = re.findall(r"\(line ([\d, ]+)\)", str(why.value)) or [""]
    refused = {str(problem.line) for problem in files.check(files.read(ROOT / "pats.example.yaml"))}
    assert set(lines.split(", ")) == ({""} if without else refused), "the same that `check` refuses"
    assert "Copy pats.example.yaml to pats.yaml" in str(why.value) or not without
    assert list(tmp_path.iterdir()) == ([] if without else [inventory])


@pytest.fixture
def secure_index(index: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The index over TLS: its address, and the certificate that vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(trusted)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(index))) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"https://localhost:{server.server_port}/", trusted
        server.shutdown()
        thread.join()


@pytest.mark.exhaustive
def test_a_certificate_that_the_system_alone_trusts_is_trusted(
    tmp_path: Path, requirements: Path, secure_index: tuple[str, Path]
) -> None:
    """`SSL_CERT_FILE` is where OpenSSL finds what the system trusts; pip is told nothing of it."""
    address, trusted = secure_index
    known = environment(tmp_path, PIP_INDEX_URL=address, SSL_CERT_FILE=str(trusted))
    package.build(tmp_path / "made", requirements, known)
    assert installed(tmp_path / "made")


@pytest.mark.exhaustive
def test_a_certificate_that_pip_is_told_of_is_trusted(
    tmp_path: Path, requirements: Path, secure_index: tuple[str, Path]
) -> None:
    address, trusted = secure_index
    configured = configuration(tmp_path, index_url=address, cert=str(trusted))
    package.build(tmp_path / "made", requirements, environment(tmp_path, PIP_CONFIG_FILE=configured))
    assert installed(tmp_path / "made")


@pytest.mark.exhaustive
def test_an_unknown_certificate_ends_the_build_with_what_to_do(
    tmp_path: Path, requirements: Path, secure_index: tuple[str, Path]
) -> None:
    with pytest.raises(package.NotBuilt, match=r"not trusted\. Have the system trust it"):
        package.build(tmp_path / "made", requirements, environment(tmp_path, PIP_INDEX_URL=secure_index[0]))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("configured", "spoiled", "advice"),
    [
        ({"PIP_INDEX_URL": "{index}"}, "1.0", "do not deploy it"),
        ({"PIP_INDEX_URL": "{index}"}, "2.0", "no wheel of that version"),
        ({"PIP_INDEX_URL": "http://127.0.0.1:1/"}, "", "The index was not reached"),
        ({"PIP_INDEX_URL": "https://index.test/", "HTTPS_PROXY": "http://127.0.0.1:1"}, "", "The proxy refused"),
    ],
    ids=["another hash", "no such version", "no index", "no proxy"],
)
def test_a_build_that_fails_says_what_to_do_and_leaves_the_package_that_was_there(
    configured: dict[str, str], spoiled: str, advice: str, tmp_path: Path, index: Path, requirements: Path
) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "earlier").touch()
    text = requirements.read_text()
    if spoiled:
        requirements.write_text(
            re.sub(rf"{NAME}==1.0 .*\n *--hash=\S+", f"{NAME}=={spoiled} --hash=sha256:{'1' * 64}", text)
        )
    known = {name: value.format(index=index.as_uri()) for name, value in configured.items()}
    with pytest.raises(package.NotBuilt) as why:
        package.build(tmp_path / "made", requirements, environment(tmp_path, **known))
    assert "The package was not built" in str(why.value)
    assert advice in str(why.value)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["earlier"]
    assert not (tmp_path / "made.new").exists()


def test_a_failed_build_is_an_exit_code_and_a_sentence_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("PIP_FIND_LINKS", "PIP_CONFIG_FILE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert package.main(["--folder", str(tmp_path / "made"), "--without-inventory"]) == 1
    told = capfd.readouterr().err
    assert "The package was not built" in told
    assert "Traceback" not in told
    assert not (tmp_path / "made").exists()


TOOLS = sorted((ROOT / "infra/pins").glob("*.txt"))


def test_bytecode_is_put_beside_each_module_with_its_path_on_the_host_and_only_by_the_python_of_the_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "shared" / "door.py"
    module.parent.mkdir()
    module.write_text("def door(): pass\n")
    (tmp_path / "broken.py").write_text("print 'of another Python'\n")
    ours = (int(package.TARGET["python_version"].partition(".")[0]), int(package.TARGET["python_version"][2:]))
    other = (ours[0], ours[1] - 2)
    assert not package.compiled(tmp_path, other)
    assert "Not compiled" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.pyc"))
    assert package.compiled(tmp_path, ours)
    (held,) = tmp_path.rglob("*.pyc")
    assert marshal.loads(held.read_bytes()[16:]).co_filename == f"{package.DEPLOYED}/shared/door.py"
    os.utime(module, (0, 0))
    module.write_text("raise AssertionError('read again')\n")
    ran = subprocess.run([sys.executable, "-c", "import shared.door"], cwd=tmp_path, timeout=30, check=False)
    assert ran.returncode == 0, "what was compiled is used, whatever times the host gives to files"


def test_every_tool_that_make_installs_is_pinned_with_hashes() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"\$\(PIP_TOOLS\) infra/pins/(\w+)\.txt|\$\(call TOOLS,(\w+)\)", makefile)
    assert {path.stem for path in TOOLS} == {pins or tool for pins, tool in named}
    installs = re.findall(r"pip install .*(?:\\\n.*)*", makefile)
    itself = [install for install in installs if "--no-deps" in install and "--no-build-isolation" in install]
    assert len(installs) == 3
    assert len(itself) == 1, "patrol's own folder, for which nothing is fetched"
    assert all("--require-hashes" in install for install in installs if install not in itself)
    assert not re.search(r"==\$\(", makefile), "a version without a hash"


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_a_pin_of_a_tool_has_its_hash(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line for line in text.splitlines() if re.match(r"\w", line)]
    assert pins
    assert not [line for line in pins if "==" not in line or "--hash=sha256:" not in line]
    asked = re.findall(r"^([\w-]+)", path.with_suffix(".in").read_text(encoding="utf-8"), re.MULTILINE)
    assert asked
    assert all(any(line.startswith(f"{name}==") for line in pins) for name in asked)
    assert "://" not in text, "no registry is named"
