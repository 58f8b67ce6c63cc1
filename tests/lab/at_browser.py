"""A person at a browser, as far as an enrollment needs one: the page of Entra ID, and the way back from it."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from html import unescape

import requests

from sandbox.process.in_process import session_for
from tests.lab.lab import Lab


@dataclass
class Person:
    """Signs in as `upn`, or declines; `page` is what is seen at the end. `lines`: what a shell told."""

    lab: Lab
    upn: str
    declines: bool = False
    strong: bool = True
    page: str = ""
    status: int = 0
    lines: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def hears(self, line: str) -> None:
        """Goes to the page whose address a command prints, beside the command."""
        self.lines.append(line)
        if line.startswith("https://login."):
            thread = threading.Thread(target=self.comes_back_to_loopback, args=(line.strip(),))
            self.threads.append(thread)
            thread.start()

    def comes_back_to_loopback(self, url: str) -> None:
        target, fields = self.fills_in(url)
        browser = requests.Session()
        browser.trust_env = False
        if not target:
            return
        answer = browser.post(target, data=fields, timeout=10)
        self.page, self.status = answer.text, answer.status_code

    def fills_in(self, url: str) -> tuple[str, dict[str, str]]:
        """Where the page sends the browser, with what. ("", {}) where Entra ID itself says no; `page` is its."""
        session = session_for(self.lab.cloud)
        assert 'name="upn"' in session.get(url).text
        given = {"upn": self.upn, **({"decline": "1"} if self.declines else {"accept": "1"})}
        seen = session.post(url, data={**given, **({"factor": "second"} if self.strong else {})}).text
        found = re.search(r'<form method="POST" action="([^"]+)">', seen)
        if found is None:
            self.page = seen
            return "", {}
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"/>', seen)
        return unescape(found[1]), {name: unescape(text) for name, text in fields}
