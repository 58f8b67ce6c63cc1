"""A lab with more vaults than one (rule 17)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.cloud.key_vault import Vault, Version
from sandbox.cloud.pats import Pat
from shared.report.report import Outcome, Report, Row
from tests.lab.lab import Lab, item

HOME = "patrol-demo-pats.vault.azure.net"
AGENTS_VAULT = "kv-agents.vault.azure.net"
WEB_VAULT = "kv-web.vault.azure.net"
BESIDE = f"https://{AGENTS_VAULT}"
WEB = f"https://{WEB_VAULT}"


@dataclass
class SeveralVaults(Lab):
    """A lab whose cloud has two more vaults."""

    quick: bool = True
    hosts: tuple[str, ...] = field(default=(AGENTS_VAULT, WEB_VAULT))

    def __post_init__(self) -> None:
        super().__post_init__()
        for host in self.hosts:
            self.cloud.add_vault(host)

    def beside(self, host: str = AGENTS_VAULT) -> Vault:
        return self.cloud.vaults[host]

    def published(self, secret: str, host: str = AGENTS_VAULT) -> Version:
        return self.beside(host).secret(secret).latest

    def lives(self, version: Version) -> bool:
        return version.enabled and self.cloud.pats.authenticate("contoso", version.value) is not None

    def living(self) -> list[Pat]:
        """Live PATs of ours, whatever vault's mark they carry."""
        return [pat for pat in self.cloud.live_pats() if pat.display_name.startswith("patrol/patrol-demo-pats-")]


def row_of(report: Report, secret: str, vault: str) -> Row:
    return next(row for row in report.items if (row.secret, row.vault) == (secret, vault))


def outcomes(report: Report) -> dict[tuple[str, str], Outcome]:
    return {(row.secret, row.vault): row.outcome for row in report.items}


def two(**more: Any) -> SeveralVaults:
    """The same name in two vaults, and another in the first of them."""
    return SeveralVaults([item(), item(vault=BESIDE), item("feeds-pat")], **more)
