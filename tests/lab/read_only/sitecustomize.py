"""On PYTHONPATH: this process has a disk that nothing can be written to, and a user that /etc/passwd does not know.

Python imports a module of this name at its start, so the command itself stays as a manifest gives it. Every attempt to
write fails as on a read-only file system, and is told on standard error.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

TOLD = "read-only: "
_CHANGES = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.utime",
}
_FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    changes = event in _CHANGES or (event == "open" and bool((arguments[2] or 0) & _FOR_WRITING))
    if not changes or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = os.fsdecode(arguments[0])
    if path.startswith("/dev/"):
        return
    os.write(2, f"{TOLD}{event} {path}\n".encode())
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


if __name__ == "sitecustomize":  # and not where something only looks at this file
    sys.addaudithook(_refuse)
    os.getuid = lambda: 65532
