"""Build the deployment package: the app and its libraries for Python 3.13 on Linux, as pinned in requirements.txt.

    python infra/package.py                  into dist/patrol, which azure.yaml deploys
    python infra/package.py --zip FILE.zip   and as one file, for `az functionapp deployment source config-zip`
    python infra/package.py --inventory FOLDER    an inventory of several files, as PATS_FILE names it
    python infra/package.py --without-inventory   for a release, or where PATS_FILE names blobs

Built here and deployed without a remote build: that one has picked the wrong Python (Azure/azure-dev issue 8538). A
folder of its own: azd installs a pyproject.toml where it finds one, and patrol's is for tools only.

pip brings the libraries, so its configuration counts (an index of your own, a proxy, a certificate), and so do the
certificates that the system trusts.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "dist" / "patrol"
REQUIREMENTS = ROOT / "requirements.txt"
TOOLS = ROOT / ".venv-package"
FILES = ("function_app.py", "host.json", "requirements.txt")
INVENTORY = ROOT / "pats.yaml"
DEPLOYED = "/home/site/wwwroot"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same content gives the same archive

TARGET = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}
"""What markers are judged by: the Python that the app is deployed on, whichever builds the package."""

# pip takes wheels of exactly these tags: the C library's version on the host, and every older one.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)] + ["manylinux2014_x86_64"]

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep the certificates they trust, in one file: Debian, Fedora, SUSE, Alpine and macOS."""

ADVICE = {
    "CERTIFICATE_VERIFY_FAILED|SSLError": (
        "The certificate of the index, or of a proxy before it, is not trusted. Have the system trust it (Debian: "
        "/usr/local/share/ca-certificates and update-ca-certificates), or tell pip of it: "
        "python3 -m pip config set global.cert FILE.pem"
    ),
    "DO NOT MATCH THE HASHES": (
        "What the index gave is not what requirements.txt pins: do not deploy it. Find out why it differs; after a "
        "change of requirements.in on purpose, `make lock` pins again."
    ),
    "ProxyError|Tunnel connection failed": (
        "The proxy refused or was not reached. Correct HTTPS_PROXY, or pip's own: "
        "python3 -m pip config set global.proxy URL. In a shell of `make sandbox` it is the sandbox's: use another."
    ),
    "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|unreachable|Connection refused": (
        "The index was not reached. Behind a proxy set HTTPS_PROXY; for an index of your own: "
        "python3 -m pip config set global.index-url URL"
    ),
    "No matching distribution|Could not find a version": (
        "The index has no wheel of that version for Python 3.13 on Linux. An index of your own has to bring it; after "
        "a change of requirements.in on purpose, `make lock` pins again."
    ),
}
"""What pip says, and what to do about it."""


TOLD = "^ *(?:ERROR|WARNING)|Could not fetch URL"
"""What of pip's words is shown when it fails."""


PLACEHOLDER = re.compile(r"your-(tenant|organization)|0{8}-0{4}-0{4}-0{4}-0{12}")
"""As in shared/inventory/texts.py, which wants the project's libraries."""


class NotBuilt(Exception):
    """Why there is no new package, and what to do. What was there before is as it was."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the deployment package.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--zip", type=Path, help="write this archive as well")
    parser.add_argument("--inventory", type=Path, help="the file or folder that goes along; pats.yaml unless given")
    parser.add_argument("--without-inventory", action="store_true", help="leave it out, as a release does")
    options = parser.parse_args(arguments)
    inventory = None if options.without_inventory else options.inventory or chosen(os.environ)
    try:
        build(options.folder, inventory=inventory)
    except NotBuilt as why:
        print(why, file=sys.stderr)
        return 1
    print(f"Built {options.folder}, with{f' {inventory.name}' if inventory else 'out an inventory'}.")
    if options.zip:
        archive(options.folder, options.zip)
        print(f"Wrote {options.zip} ({options.zip.stat().st_size / 1e6:.1f} MB).")
    return 0


def chosen(environment: Mapping[str, str]) -> Path | None:
    """What azd's environment says of the inventory (docs/deploy.md); None: blobs, so nothing goes along."""
    named = environment.get("PATROL_PATS_FILE", "").strip()
    if environment.get("PATROL_INVENTORY_FROM", "").strip() == "blobs" or named.startswith("https://"):
        return None
    return ROOT / (named or INVENTORY.name)


def build(
    folder: Path,
    requirements: Path = REQUIREMENTS,
    environment: Mapping[str, str] = os.environ,
    *,
    inventory: Path | None = None,
) -> None:
    """Make `folder` new, once everything is there. `inventory`: the file or folder that goes along. Raises NotBuilt."""
    if inventory is not None:
        _check(inventory)
    made = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    for name in FILES:
        shutil.copy2(ROOT / name, made / name)
    if inventory is not None:
        _take_along(inventory, made)
    shutil.copytree(ROOT / "shared", made / "shared", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    try:
        _install(made / ".python_packages" / "lib" / "site-packages", requirements, environment)
    except NotBuilt:
        shutil.rmtree(made)
        raise
    compiled(made)
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)


def compiled(folder: Path, version: tuple[int, int] = sys.version_info[:2]) -> bool:
    """Put bytecode beside every module, where this is the Python that the app is deployed on (`version` is ours).

    The host mounts the package read-only, so every cold start would compile a thousand modules again: measured, 4.7
    seconds of processor instead of 1.4 for what the first invocation imports. A hash that nobody checks, because the
    host may give files any time; paths are those on the host, for tracebacks.
    """
    if TARGET["python_version"] != ".".join(map(str, version)):
        print(f"Not compiled: that takes Python {TARGET['python_version']}. The app runs, and starts seconds later.")
        return False
    paths = ["-s", str(folder), "-p", DEPLOYED]
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *paths, str(folder)]
    # The same source gives the same bytecode. What a library brings that is no Python of this version stays as it is.
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, stdout=subprocess.DEVNULL, check=False)
    return True


def _take_along(inventory: Path, made: Path) -> None:
    """Where a relative PATS_FILE finds it; from elsewhere a folder under its own name, and one file as pats.yaml."""
    elsewhere = Path(inventory.name if inventory.is_dir() else INVENTORY.name)
    place = made / (inventory.relative_to(ROOT) if inventory.is_relative_to(ROOT) else elsewhere)
    for file in _files(inventory):
        to = place / file.name if inventory.is_dir() else place
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, to)


def _files(inventory: Path) -> list[Path]:
    """What patrol reads of it (shared/inventory/files.py)."""
    if not inventory.is_dir():
        return [inventory]
    return sorted(one for one in inventory.glob("*.yaml") if not one.name.startswith("."))


def _check(inventory: Path) -> None:
    """Refuse what would be deployed and then fail at the first timer."""
    if inventory.is_dir() and not _files(inventory):
        raise NotBuilt(f"{inventory.name} holds no file whose name ends with .yaml: put the inventory's files there.")
    if not inventory.exists():
        raise NotBuilt(
            f"There is no {inventory.name} to go along. Copy pats.example.yaml to {inventory.name}, write your names "
            "in it, and let `patrol check` read it. Without one, for a release: ARGS=--without-inventory"
        )
    for file in _files(inventory):
        lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        found = [
            str(number)
            for number, line in enumerate(lines, 1)
            if PLACEHOLDER.search(line) and not line.lstrip().startswith("#")
        ]
        if found:
            raise NotBuilt(
                f"{file.name} still has placeholders of pats.example.yaml (line {', '.join(found)}): write your own "
                "names there; `patrol check` says what each is."
            )


def archive(folder: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            made.writestr(entry, file.read_bytes())


def wanted(requirements: str) -> Iterator[str]:
    """The lines of a pinned requirements file that hold for the target, each with its hashes and without its marker.

    pip judges markers for the Python that it runs on. Raises NotBuilt on a line that is not pinned with hashes.
    """
    for line in requirements.replace("\\\n", " ").splitlines():
        text = " ".join(line.partition("#")[0].split())
        if not text:
            continue
        found = re.fullmatch(r"(?P<pin>[\w.\[\]-]+==\S+)(?: ?; ?(?P<marker>.*?))?(?P<hashes>(?: --hash=\S+)+)", text)
        if found is None:
            raise NotBuilt(f"Not pinned with a hash: {text[:80]}. Run `make lock`.")
        if found["marker"] is None or applies(found["marker"]):
            yield found["pin"] + found["hashes"]


def applies(marker: str) -> bool:
    """Whether an environment marker (PEP 508) holds for the target. Raises NotBuilt on one that it cannot judge."""
    try:
        # But for `~=` and `===`, which the lock file has none of, a marker is an expression of Python.
        return _holds(ast.parse(marker, mode="eval").body)
    except (SyntaxError, KeyError, ValueError) as error:
        raise NotBuilt(f"infra/package.py cannot judge the marker {marker!r}: teach it, see `applies`.") from error


def _holds(node: ast.expr) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_holds(part) for part in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(_holds(part) for part in parts)
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            names = {side.id for side in (left, right) if isinstance(side, ast.Name)}
            versions = bool(names & {"python_version", "python_full_version"})
            return _compared(operator, _side(left, versions=versions), _side(right, versions=versions))
    raise ValueError(ast.dump(node))


def _side(node: ast.expr, *, versions: bool) -> str | tuple[int, ...]:
    if isinstance(node, ast.Name):
        text = TARGET[node.id]
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    else:
        raise ValueError(ast.dump(node))
    if not versions:
        return text
    numbers = [int(number) for number in text.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _compared(operator: ast.cmpop, left: str | tuple[int, ...], right: str | tuple[int, ...]) -> bool:
    if isinstance(operator, ast.Eq | ast.NotEq):
        return (left == right) is isinstance(operator, ast.Eq)
    if isinstance(left, tuple) and isinstance(right, tuple):
        match operator:
            case ast.Lt():
                return left < right
            case ast.LtE():
                return left <= right
            case ast.Gt():
                return left > right
            case ast.GtE():
                return left >= right
    if isinstance(left, str) and isinstance(right, str) and isinstance(operator, ast.In | ast.NotIn):
        return (left in right) is isinstance(operator, ast.In)
    raise ValueError(ast.dump(operator))


def _install(libraries: Path, requirements: Path, environment: Mapping[str, str]) -> None:
    """Raises NotBuilt, with what pip said."""
    python = _python()
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder) / "requirements.txt"
        chosen.write_text("\n".join(wanted(requirements.read_text(encoding="utf-8"))) + "\n", encoding="utf-8")
        # Not quiet: it would keep to itself why an index was not reached.
        command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-user"]
        # The file pins whatever is needed, for the target; what a library asks for, another library or a Python, pip
        # would judge for the Python that it runs on.
        command += ["--no-deps", "--ignore-requires-python", "--require-hashes", "--only-binary", ":all:"]
        command += ["--no-compile", "--target", str(libraries)]
        command += ["--python-version", TARGET["python_version"], "--implementation", "cp"]
        command += [word for platform in PLATFORMS for word in ("--platform", platform)]
        known = {**environment, **_certificates(python, environment)}
        command += ["--requirement", str(chosen)]
        ran = subprocess.run(
            command, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    if ran.returncode:
        said = "\n".join(line.strip() for line in ran.stdout.splitlines() if re.search(TOLD, line))
        advice = (text for pattern, text in ADVICE.items() if re.search(pattern, ran.stdout))
        print(said or ran.stdout, file=sys.stderr)
        raise NotBuilt(f"The package was not built: pip failed (above). {next(advice, 'Correct what it names.')}")


def _python() -> str:
    """The Python whose pip is used: the running one, or, where that has none, one made for it."""
    if importlib.util.find_spec("pip") is not None:
        return sys.executable
    python = TOOLS / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        try:
            venv.create(TOOLS, with_pip=True)
        except (ImportError, subprocess.CalledProcessError) as error:
            raise NotBuilt(
                "This Python has neither pip nor ensurepip. Install them (Debian, Ubuntu: python3-pip or "
                "python3-venv), or use another Python: python3.13 infra/package.py"
            ) from error
    return str(python)


def _certificates(python: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What has a pip older than 24.2 look at the certificates that the system trusts; newer ones do by themselves."""
    said = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"pip (\d+)\.(\d+)", said)
    told = any(name in environment for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    if version is None or (int(version[1]), int(version[2])) >= (24, 2) or told:
        return {}
    listing = [python, "-m", "pip", "config", "list"]
    settings = subprocess.run(listing, env=dict(environment), capture_output=True, text=True, check=False).stdout
    if re.search(r"^\w+\.cert=", settings, re.MULTILINE):
        return {}
    paths = (environment.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *BUNDLES)
    bundle = next((path for path in paths if path and Path(path).is_file()), None)
    return {"PIP_CERT": bundle} if bundle else {}


if __name__ == "__main__":
    sys.exit(main())
