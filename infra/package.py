"""Build the deployment package: the app and its libraries for Python 3.13 on Linux, as pinned in requirements.txt.

    python infra/package.py                  into dist/patrol, which azure.yaml deploys
    python infra/package.py --zip FILE.zip   and as one file, for `az functionapp deployment source config-zip`

Built here and deployed without a remote build: that one has picked the wrong Python (Azure/azure-dev issue 8538). A
folder of its own: azd installs a pyproject.toml where it finds one, and patrol's is for tools only.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "dist" / "patrol"
TOOLS = ROOT / ".venv-package"
UV = "0.13.9"
TARGET = ("--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_28")
FILES = ("function_app.py", "host.json", "requirements.txt", "pats.yaml")
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same content gives the same archive


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the deployment package.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--zip", type=Path, help="write this archive as well")
    options = parser.parse_args(arguments)
    build(options.folder)
    print(f"Built {options.folder}.")
    if options.zip:
        archive(options.folder, options.zip)
        print(f"Wrote {options.zip} ({options.zip.stat().st_size / 1e6:.1f} MB).")
    return 0


def build(folder: Path) -> None:
    """Make `folder` new. Raises CalledProcessError when a library has no wheel for the platform, or another hash."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    shutil.copytree(ROOT / "shared", folder / "shared", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    libraries = folder / ".python_packages" / "lib" / "site-packages"
    # uv judges `python_version` markers for the target; pip judges them for the Python it runs on.
    command = [_python(), "-m", "uv", "pip", "install", "--quiet", "--no-config", "--require-hashes"]
    command += ["--only-binary", ":all:", *TARGET, "--target", str(libraries), "-r", str(ROOT / "requirements.txt")]
    subprocess.run(command, check=True)


def archive(folder: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            made.writestr(entry, file.read_bytes())


def _python() -> str:
    python = TOOLS / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(TOOLS, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv=={UV}"]
    subprocess.run(install, check=True)
    return str(python)


if __name__ == "__main__":
    sys.exit(main())
