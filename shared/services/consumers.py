"""Every kind of consumer by its own adapter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.model.consumers import Consumer, Given, Keys, ServiceConnection, SonarQube, Webhook
from shared.services.service_connections import ServiceConnections
from shared.services.sonarqube import SonarQubeServer
from shared.services.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class EveryKind:
    """See `ports.ConsumerServices`."""

    sonarqube: SonarQubeServer
    connections: ServiceConnections
    webhooks: Webhooks

    def check(self, to: Consumer, keys: Keys, organization: str) -> str:
        match to:
            case SonarQube():
                return self.sonarqube.check(to, keys, organization)
            case ServiceConnection():
                return self.connections.check(to, keys, organization)
            case Webhook():
                return self.webhooks.check(to, keys, organization)

    def works(self, to: Consumer, keys: Keys, organization: str, since: datetime) -> bool:
        match to:
            case SonarQube():
                return self.sonarqube.works(to, keys, organization, since)
            case ServiceConnection():
                return self.connections.works(to, keys, organization, since)
            case Webhook():
                return self.webhooks.works(to, keys, organization, since)

    def push(self, to: Consumer, keys: Keys, given: Given) -> str:
        match to:
            case SonarQube():
                return self.sonarqube.push(to, keys, given)
            case ServiceConnection():
                return self.connections.push(to, keys, given)
            case Webhook():
                return self.webhooks.push(to, keys, given)
