"""A real browser, driven by the W3C WebDriver protocol over HTTP: Chromium and its driver, where they are installed."""

from __future__ import annotations

import base64
import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window. Elements are found by CSS selectors, and waited for."""

    def __init__(self, url: str, capabilities: dict[str, Any]) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        self._url = url
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._url = f"{url}/session/{made['sessionId']}"

    def open(self, address: str) -> None:
        self._ask("POST", "/url", {"url": address})

    def address(self) -> str:
        return str(self._ask("GET", "/url"))

    def size(self, width: int, height: int) -> None:
        self._ask("POST", "/window/rect", {"width": width, "height": height})

    def text(self) -> str:
        return str(self._run("return document.body.innerText"))

    def source(self) -> str:
        return str(self._ask("GET", "/source"))

    def overflows(self) -> bool:
        """Whether somebody would have to scroll sideways."""
        return bool(self._run("return document.documentElement.scrollWidth > window.innerWidth"))

    def breaches(self, axe: Path) -> list[str]:
        """What axe-core finds against WCAG 2.2 A and AA and its best practices: rules with what breaks them.

        It runs by the driver, whatever the page's own policy says of scripts.
        """
        self._run(axe.read_text(encoding="utf-8"))
        script = (
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']})"
            ".then(found => done(found.violations), failure => done([{id: String(failure), nodes: []}]));"
        )
        found = self._ask("POST", "/execute/async", {"script": script, "args": []})
        return [f"{one['id']}: {', '.join(str(node['target']) for node in one['nodes'])}" for one in found]

    def click(self, selector: str) -> None:
        self._ask("POST", f"/element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        element = self._find(selector)
        self._ask("POST", f"/element/{element}/clear", {})
        self._ask("POST", f"/element/{element}/value", {"text": text})

    def wait_for(self, words: str) -> str:
        """The page's text, once it has `words`."""
        end = time.monotonic() + 20
        while words not in (seen := self.text()):
            assert time.monotonic() < end, seen
            time.sleep(0.1)
        return seen

    def shoot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(str(self._ask("GET", "/screenshot"))))

    def close(self) -> None:
        self._ask("DELETE", "")

    def _find(self, selector: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])

    def _run(self, script: str) -> Any:
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._http.request(method, f"{self._url}{path}", json=body, timeout=60)
        value = answer.json()["value"]
        assert answer.ok, value
        return value


@contextlib.contextmanager
def chromium(proxy: str | None, port: int, *, dark: bool = False) -> Iterator[Browser]:
    """Ends with everything that it started. The sandbox's certificates are taken as they are.

    `proxy`: None for files. `dark`: whether the person prefers it.
    """
    assert DRIVER is not None
    driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(requests.ConnectionError):
                session = requests.Session()
                session.trust_env = False
                if session.get(f"{url}/status", timeout=5).ok:
                    break
            assert time.monotonic() < end
            time.sleep(0.1)
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu"]
        flags += [f"--proxy-server={proxy}"] if proxy else []
        flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
        options = {"binary": BROWSER, "args": flags}
        browser = Browser(url, {"acceptInsecureCerts": True, "goog:chromeOptions": options})
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait(10)
