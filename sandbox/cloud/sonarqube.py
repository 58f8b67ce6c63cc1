"""A SonarQube server as pure state: tokens, and the Azure DevOps settings of `api/alm_settings`.

Shapes: the Web API's description and SonarQube's published source. It plays nothing else of SonarQube.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

LONGEST_KEY, LONGEST = 200, 2000


@dataclass(slots=True)
class AzureSetting:
    """One Azure DevOps setting: `url` is the organization's, `pat` what SonarQube signs in with."""

    key: str
    url: str
    pat: str


class SonarRefused(Exception):
    """An answer of 4xx with `errors[].msg`; 401 has no body."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message


@dataclass(slots=True)
class SonarQube:
    """One server. `tokens`: whether each token's user has Administer System."""

    tokens: dict[str, bool] = field(default_factory=dict)
    azure: dict[str, AzureSetting] = field(default_factory=dict)

    def list_definitions(self, token: str) -> dict[str, list[dict[str, str]]]:
        """Never with a PAT. Raises SonarRefused."""
        self._enter(token)
        rows = [{"key": one.key, "url": one.url} for one in self.azure.values()]
        return {"azure": rows, "github": [], "gitlab": [], "bitbucket": [], "bitbucketcloud": []}

    def update_azure(self, token: str, form: dict[str, str]) -> None:
        """A blank PAT keeps the old one. Raises SonarRefused."""
        self._enter(token)
        for name, limit in (("key", LONGEST_KEY), ("url", LONGEST)):
            if not form.get(name):
                raise SonarRefused(400, f"The '{name}' parameter is missing")
            if len(form[name]) > limit:
                raise SonarRefused(400, f"'{name}' length ({len(form[name])}) is longer than the maximum ({limit})")
        setting = self._setting(form["key"])
        setting.url = form["url"]
        setting.pat = form.get("personalAccessToken") or setting.pat
        if form.get("newKey"):
            self.azure[form["newKey"]] = self.azure.pop(setting.key)
            setting.key = form["newKey"]

    def validate(self, token: str, key: str, list_projects: Callable[[str, str], int]) -> None:
        """`list_projects(url, pat)` is the status of Azure DevOps; any 2xx is well, a page for people (203) too.

        Raises SonarRefused.
        """
        self._enter(token)
        setting = self._setting(key)
        if not 200 <= list_projects(setting.url, setting.pat) < 300:
            raise SonarRefused(400, "Invalid Azure URL or Personal Access Token")

    def _enter(self, token: str) -> None:
        if token not in self.tokens:
            raise SonarRefused(401)
        if not self.tokens[token]:
            raise SonarRefused(403, "Insufficient privileges")

    def _setting(self, key: str) -> AzureSetting:
        if key not in self.azure:
            raise SonarRefused(404, f"ALM setting with key '{key}' cannot be found")
        return self.azure[key]
