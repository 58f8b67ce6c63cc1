"""What consumers use, by the cloud's own books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.cloud.cloud import Cloud
from sandbox.cloud.recipients import Answered, Recipient
from sandbox.cloud.sonarqube import AzureSetting


@dataclass(slots=True)
class Restarted(Recipient):
    """A webhook that restarts a pod, which reads the secret then and keeps the value until it is restarted again."""

    reads: Callable[[str, str], str] = field(default=lambda _, __: "")
    """What a secret has, by its name and the host of its vault."""
    pat: str = ""

    def take(self, target: str, headers: dict[str, str], body: bytes, now: datetime) -> Answered:
        answered = Recipient.take(self, target, headers, body, now)
        if answered.status < 300:
            told = self.received[-1]
            self.pat = self.reads(told["subject"], told["data"]["items"][0]["vault"])
        return answered


def copies(cloud: Cloud) -> list[str]:
    """Every value that a consumer uses; "" of one that has none yet."""
    return [*kept(cloud), *pods(cloud)]


def kept(cloud: Cloud) -> list[str]:
    """Those of consumers that patrol gives the value."""
    settings: list[AzureSetting] = [one for server in cloud.sonarqubes.values() for one in server.azure.values()]
    return [*(one.pat for one in settings), *(one.token for one in cloud.connections.values())]


def pods(cloud: Cloud) -> list[str]:
    """Those of pods that a webhook restarts."""
    return [one.pat for one in cloud.recipients.values() if isinstance(one, Restarted)]
