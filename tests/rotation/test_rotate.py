"""The main job, call by call: rules 1, 2, 5, 6, 7 and 9 with the real adapters over the sandbox's cloud."""

from __future__ import annotations

from shared.report.report import Outcome
from tests.lab.lab import Lab, days, hours, item, outcomes, row


def test_rule_1_a_first_pat_is_minted_verified_and_published_in_that_order() -> None:
    lab = Lab([item()])
    report = lab.run()
    assert outcomes(report.items) == ["build-pat rotate done nothing-published"]
    wanted = ["pats.create", "devops.connection_data", "vault.set"]
    minted = lab.operations().index("pats.create")
    assert [name for name in lab.operations()[minted:] if name in wanted] == wanted
    assert lab.works("build-pat")
    version = lab.current("build-pat")
    pat = lab.live("build-pat")[0]
    assert version.content_type == "application/vnd.patrol.azure-devops-pat"
    assert version.expires == int(pat.valid_to.timestamp())
    assert version.tags == {
        "managed-by": lab.settings.mark.text,
        "authorization-id": pat.authorization_id,
        "organization": "contoso",
        "organization-id": lab.cloud.pats.organization("contoso").guid,
        "username": "svc-agents@contoso.com",
        "scopes": "vso.code",
    }


def test_a_fresh_pat_is_held_and_nothing_is_written() -> None:
    lab = Lab([item()])
    lab.run()
    before = len(lab.cloud.calls())
    report = lab.later(hours(6))
    assert outcomes(report.items) == ["build-pat hold held fresh"]
    assert not any(call.effect for call in lab.cloud.calls()[before:] if not call.operation.endswith("token"))


def test_rule_6_a_pat_is_rotated_at_its_margin_and_its_predecessor_retired_after_the_overlap() -> None:
    lab = Lab([item()])
    lab.run()
    first = lab.live("build-pat")[0]
    report = lab.later(days(23))
    assert outcomes(report.items) == ["build-pat rotate done near-expiry"]
    assert len(lab.live("build-pat")) == 2
    assert first.authorization_id in lab.current("build-pat").tags["predecessors"]
    assert outcomes(lab.later(hours(23)).items) == ["build-pat hold held fresh"]
    assert len(lab.live("build-pat")) == 2
    report = lab.later(hours(2))
    assert outcomes(report.items) == ["build-pat hold held fresh", "build-pat retire done overlap-over"] or outcomes(
        report.items
    ) == ["build-pat retire done overlap-over", "build-pat hold held fresh"]
    assert [pat.authorization_id for pat in lab.live("build-pat")] == [
        lab.current("build-pat").tags["authorization-id"]
    ]
    assert "predecessors" not in lab.current("build-pat").tags
    assert lab.works("build-pat")


def test_rule_9_renew_keeps_the_value_and_moves_the_expiry() -> None:
    lab = Lab([item(strategy="renew")])
    lab.run()
    value = lab.current("build-pat").value
    report = lab.later(days(24))
    assert row(report).step == "renew"
    assert row(report).outcome is Outcome.DONE
    assert lab.current("build-pat").value == value
    assert lab.current("build-pat").expires == int(lab.live("build-pat")[0].valid_to.timestamp())
    assert lab.works("build-pat")


def test_people_s_own_tags_survive_a_rotation() -> None:
    lab = Lab([item()])
    lab.run()
    lab.vault.update(
        "build-pat", lab.current("build-pat").id, {"tags": {**lab.current("build-pat").tags, "team": "ci"}}
    )
    lab.later(days(24))
    assert lab.current("build-pat").tags["team"] == "ci"


def test_a_rotation_after_an_overlap_that_nobody_ended_leaves_versions_readable() -> None:
    """Only an emergency disables older versions: one of them is in overlap."""
    lab = Lab([item()])
    lab.run()
    lab.later(days(23))
    in_overlap = lab.current("build-pat")
    lab.wait(days(2))
    lab.run("build-pat", force=True)
    assert in_overlap.enabled
    assert lab.cloud.pats.authenticate("contoso", in_overlap.value) is not None
