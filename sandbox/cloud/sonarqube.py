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
    """One server. `tokens`: whether each token's user has Administer System.

    `one_setting`: its edition takes one Azure DevOps setting and no second one.
    """

    tokens: dict[str, bool] = field(default_factory=dict)
    azure: dict[str, AzureSetting] = field(default_factory=dict)
    one_setting: bool = False

    def list_settings(self, token: str) -> dict[str, list[dict[str, str]]]:
        """What a project may be bound to; never with a PAT. Raises SonarRefused."""
        self._enter(token)
        return {"almSettings": [{"key": one.key, "alm": "azure", "url": one.url} for one in self.azure.values()]}

    def create_azure(self, token: str, form: dict[str, str]) -> None:
        """Raises SonarRefused, for a key that is there already too."""
        self._enter(token)
        _judge(form, key=LONGEST_KEY, url=LONGEST, personalAccessToken=LONGEST)
        if form["key"] in self.azure:
            raise SonarRefused(400, f"An ALM setting with key '{form['key']}' already exists")
        if self.one_setting and self.azure:
            raise SonarRefused(400, "A AZURE_DEVOPS setting is already defined")
        self.azure[form["key"]] = AzureSetting(form["key"], form["url"], form["personalAccessToken"])

    def delete(self, token: str, key: str) -> None:
        """Raises SonarRefused."""
        self._enter(token)
        del self.azure[self._setting(key).key]

    def list_definitions(self, token: str) -> dict[str, list[dict[str, str]]]:
        """Never with a PAT. Raises SonarRefused."""
        self._enter(token)
        rows = [{"key": one.key, "url": one.url} for one in self.azure.values()]
        return {"azure": rows, "github": [], "gitlab": [], "bitbucket": [], "bitbucketcloud": []}

    def update_azure(self, token: str, form: dict[str, str]) -> None:
        """A blank PAT keeps the old one. Raises SonarRefused."""
        self._enter(token)
        _judge(form, key=LONGEST_KEY, url=LONGEST)
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


def _judge(form: dict[str, str], **limits: int) -> None:
    """Every parameter that `limits` names must be there, and no longer than its limit. Raises SonarRefused."""
    for name, limit in limits.items():
        if not form.get(name):
            raise SonarRefused(400, f"The '{name}' parameter is missing")
        if len(form[name]) > limit:
            raise SonarRefused(400, f"'{name}' length ({len(form[name])}) is longer than the maximum ({limit})")
