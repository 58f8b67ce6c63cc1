"""One instance of the app, for tests that run several: sends so many requests at one moment, prints what came back.

Its arguments: the door, the body of each request, how many, and a folder. It writes `ready-<pid>` into the folder when
it is warm, and sends when `go` is there. Prints a JSON list of {"status", "code", "because"}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from shared.functions import http_routes
from shared.functions.http_answers import Answer
from shared.functions.http_call import Call

DOORS = {"rotate": http_routes.rotate, "emergency": http_routes.emergency}


def told(answer: Answer) -> dict[str, Any]:
    body: Any = answer.body
    rows = body.get("items") or body.get("report", {}).get("items", [])
    return {"status": int(answer.status), "code": body.get("code"), "because": [row["because"] for row in rows]}


def main(door: str, body: str, requests: int, folder: Path) -> None:
    warm = http_routes.pats(Call("GET"), http_routes.App())
    if warm.status != 200:
        sys.exit(f"not warm: {warm.body}")
    (folder / f"ready-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    with ThreadPoolExecutor(requests) as pool:
        calls = [pool.submit(DOORS[door], Call("POST", body=body.encode()), http_routes.App()) for _ in range(requests)]
        print(json.dumps([told(one.result()) for one in calls]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
