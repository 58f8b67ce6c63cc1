"""Index `function_app.py` and invoke its timer once, as a fresh instance does.

`python -m sandbox.bench.first_invocation`. Says how much processor the invocation took until it opened its first
connection. It loads nothing but the app, so that the app pays for all that it needs.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

WORD = "first request after "


def main() -> None:
    sys.path.insert(0, str(Path.cwd()))
    import function_app

    (rotate_due,) = (one for one in function_app.app.get_functions() if one.get_function_name() == "rotate_due")
    context = SimpleNamespace(invocation_id="1", thread_local_storage=threading.local())
    began, connected = time.process_time(), list[float]()

    def watch(event: str, _: object) -> None:
        if event == "socket.connect" and not connected:
            connected.append(time.process_time() - began)

    sys.addaudithook(watch)
    rotate_due.get_user_function()(SimpleNamespace(past_due=False), SimpleNamespace(set=list), context)
    sys.stderr.write(f"\n{WORD}{connected[0]}\n")


def read(stderr: str) -> float:
    """The seconds that `main` said."""
    return float(stderr.split(WORD, 1)[1].split(maxsplit=1)[0])


if __name__ == "__main__":
    main()
