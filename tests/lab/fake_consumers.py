"""Consumers without HTTP in between: `ports.ConsumerServices` over the cloud's own states."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from sandbox.cloud.cloud import Cloud
from sandbox.cloud.service_connections import ConnectionRefused
from sandbox.cloud.service_connections import ServiceConnection as SandboxConnection
from sandbox.cloud.sonarqube import SonarQube as SonarQubeServer
from sandbox.cloud.sonarqube import SonarRefused
from sandbox.wire.sonarqube import projects_status
from shared.model.consumers import Consumer, Given, Keys, ServiceConnection, SonarQube, Webhook
from shared.model.errors import Code, Denied, Refused
from shared.model.secret_text import SecretText
from shared.services.webhooks import Webhooks
from tests.lab.fakes import Trouble

Answer = TypeVar("Answer")


class FakeConsumers:
    """Every kind. A webhook is the real one, over what the cloud's recipients take; its call is one of the ports."""

    def __init__(self, cloud: Cloud, trouble: Trouble, webhooks: Webhooks) -> None:
        self._sonarqube = _SonarQubes(cloud, trouble)
        self._connections = _Connections(cloud, trouble)
        self._webhooks = webhooks
        self._trouble = trouble

    def check(self, to: Consumer, keys: Keys, organization: str) -> str:
        match to:
            case SonarQube():
                return self._sonarqube.check(to, keys, organization)
            case ServiceConnection():
                return self._connections.check(to, organization)
            case Webhook():
                return self._webhooks.check(to, keys, organization)

    def works(self, to: Consumer, keys: Keys, organization: str, since: datetime) -> bool:
        match to:
            case SonarQube():
                return self._sonarqube.works(to, keys, organization, since)
            case ServiceConnection():
                return self._connections.works(to, organization)
            case Webhook():
                return self._webhooks.works(to, keys, organization, since)

    def push(self, to: Consumer, keys: Keys, given: Given) -> str:
        match to:
            case SonarQube():
                return self._sonarqube.push(to, keys, given)
            case ServiceConnection():
                return self._connections.push(to, given)
            case Webhook():
                return self._trouble.around("notice.webhook", lambda: self._webhooks.push(to, keys, given))


class _Connections:
    def __init__(self, cloud: Cloud, trouble: Trouble) -> None:
        self._cloud = cloud
        self._trouble = trouble

    def check(self, to: ServiceConnection, organization: str) -> str:
        self._found(to, organization)
        return ""

    def works(self, to: ServiceConnection, organization: str) -> bool:
        self._found(to, organization)
        return True

    def push(self, to: ServiceConnection, given: Given) -> str:
        there = self._found(to, given.organization)
        body = deepcopy(there.answer(self._cloud.now()))
        name = next(iter(there.secrets))
        body["authorization"]["parameters"][name] = given.value.reveal()
        subject = self._cloud.identity.subject
        self._do("connections.update", lambda: there.put(subject, body, self._cloud.now()))
        self._found(to, given.organization)
        return ""

    def _found(self, to: ServiceConnection, organization: str) -> SandboxConnection:
        there = self._do("connections.get", lambda: self._cloud.connections.get(to.id))
        if there is None or there.shown["url"].rpartition("/")[2].casefold() != organization.casefold():
            raise Refused(Code.CONSUMER_REFUSED, "no such connection", "-")
        return there

    def _do(self, operation: str, effect: Callable[[], Answer]) -> Answer:
        try:
            return self._trouble.around(operation, effect)
        except ConnectionRefused as refused:
            raise Refused(Code.CONSUMER_REFUSED, f"HTTP {refused.status}", "-") from None


class _SonarQubes:
    def __init__(self, cloud: Cloud, trouble: Trouble) -> None:
        self._cloud = cloud
        self._trouble = trouble

    def check(self, to: SonarQube, keys: Keys, organization: str) -> str:
        self._address(to, keys[0], organization)
        return ""

    def works(self, to: SonarQube, keys: Keys, organization: str, since: datetime) -> bool:  # no time is told
        self._address(to, keys[0], organization)
        try:
            self._validate(to, keys[0])
        except Refused:
            return False
        return True

    def push(self, to: SonarQube, keys: Keys, given: Given) -> str:
        (token,) = keys
        address = self._address(to, token, given.organization)
        form = {"key": to.alm_setting, "url": address, "personalAccessToken": given.value.reveal()}
        self._do("sonarqube.update_azure", lambda: self._server(to).update_azure(token.reveal(), form))
        self._validate(to, token)
        return ""

    def _validate(self, to: SonarQube, token: SecretText) -> None:
        projects = partial(projects_status, self._cloud)
        self._do("sonarqube.validate", lambda: self._server(to).validate(token.reveal(), to.alm_setting, projects))

    def _address(self, to: SonarQube, token: SecretText, organization: str) -> str:
        rows = self._do("sonarqube.list_definitions", lambda: self._server(to).list_definitions(token.reveal()))
        address = next((row["url"] for row in rows["azure"] if row["key"] == to.alm_setting), None)
        if address is None or address.rpartition("/")[2].casefold() != organization.casefold():
            raise Refused(Code.CONSUMER_REFUSED, "no such setting", "-")
        return address

    def _server(self, to: SonarQube) -> SonarQubeServer:
        return self._cloud.sonarqubes[urlsplit(to.url).hostname or ""]

    def _do(self, operation: str, effect: Callable[[], Answer]) -> Answer:
        try:
            return self._trouble.around(operation, effect)
        except SonarRefused as refused:
            kind = Denied if refused.status in (401, 403) else Refused
            raise kind(Code.CONSUMER_REFUSED, f"HTTP {refused.status}", "-") from None
