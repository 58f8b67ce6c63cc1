"""The timer function: one run, the heartbeat whatever the outcome, and a failed invocation when a person must look."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from sandbox.cloud.seed import CLIENT, demo_estate, demo_pats_yaml
from sandbox.functions_host.host import index
from sandbox.process.running import start
from shared.functions import rotation_timer
from shared.report.report import Outcome
from shared.rotation.world import World
from tests.lab.lab import ENVIRONMENT, Lab, item

FIRE = ("-m", "sandbox.functions_host.fire_timer")
ROOT = Path(__file__).resolve().parents[2]


def test_the_timer_functions_are_indexed_with_their_schedules() -> None:
    import function_app

    functions = {one.get_function_name(): one for one in function_app.app.get_functions()}
    binding = functions["rotate_due"].get_trigger()
    assert binding is not None
    assert binding.get_dict_repr()["schedule"] == "%ROTATION_SCHEDULE%"
    assert not binding.get_dict_repr().get("runOnStartup")
    # Tokens live an hour whatever a deployment sets: their schedule is no setting.
    (tokens,) = functions["refresh_tokens"].get_bindings()
    assert tokens.get_dict_repr()["schedule"] == "0 */10 * * * *"
    assert not tokens.get_dict_repr().get("runOnStartup")


def test_the_open_door_takes_one_method_so_that_nobody_unknown_sends_a_body() -> None:
    functions = index(ROOT)
    assert functions["health"].methods == {"GET"}
    assert len(functions["rotate"].methods) > 1, "the other doors say themselves which method they take"


def test_promise_5_an_item_failure_fails_the_invocation_after_the_others_are_done(tmp_path: Path) -> None:
    inventory = tmp_path / "pats.yaml"
    inventory.write_text(demo_pats_yaml(), encoding="utf-8")
    with start(demo_estate()) as cloud:
        cloud.client.add_fault("pats.create", "pat_error", call=1, error="invalidScope")
        ran = cloud.run_product(FIRE, cwd=ROOT, extra={"PATS_FILE": str(inventory)})
        assert ran.returncode == 1
        assert "RunFailed" in ran.stderr
        assert "mint-refused" in ran.stderr
        assert '"outcome": "partial"' in ran.stderr
        assert "Traceback" not in ran.stderr
        again = cloud.run_product(FIRE, cwd=ROOT, extra={"PATS_FILE": str(inventory)})
        assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({}, "settings-invalid"),
        ({"KEY_VAULT_URL": "https://x.vault.azure.net", "PATS_FILE": "none"}, "inventory-unreadable"),
    ],
)
def test_the_heartbeat_comes_out_when_nothing_could_be_attempted(
    environ: dict[str, str], word: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(rotation_timer.RunFailed):
        rotation_timer.rotate_due(environ=environ, root=tmp_path)
    finished = [record.getMessage() for record in caplog.records if record.getMessage().startswith("run.finished ")]
    assert len(finished) == 1
    assert word in finished[0]


def test_every_outcome_but_a_good_one_fails_the_invocation() -> None:
    assert {outcome for outcome in Outcome if outcome not in {Outcome.DONE, Outcome.HELD, Outcome.PLANNED}} == {
        Outcome.LEFT,
        Outcome.BUSY,
        Outcome.FAILED,
        Outcome.BLOCKED,
    }


def test_promise_7_the_heartbeat_comes_without_the_text_of_an_unexpected_failure(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "pats.yaml").write_text(demo_pats_yaml(), encoding="utf-8")
    text = "a token stands here"

    def broken(*_: object) -> World:
        raise RuntimeError(text)

    with caplog.at_level(logging.INFO), pytest.raises(rotation_timer.RunFailed, match="unexpected") as raised:
        rotation_timer.rotate_due(environ=ENVIRONMENT, root=tmp_path, make_world=broken)
    # As the host writes it, with the traceback.
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "RuntimeError at " in told
    assert text not in told
    assert len([one for one in caplog.records if one.getMessage().startswith("run.finished ")]) == 1


def test_a_refused_client_fails_the_invocation_with_its_remedy(tmp_path: Path) -> None:
    lab = Lab([item()])
    lab.cloud.directory.apps[CLIENT].secrets.clear()
    (tmp_path / "pats.yaml").write_text(lab.pats_yaml(), encoding="utf-8")
    with pytest.raises(rotation_timer.RunFailed, match="client-refused"):
        rotation_timer.rotate_due(
            environ=ENVIRONMENT, root=tmp_path, make_world=lambda _, budget, __: lab.world(budget)
        )
    assert [told["outcome"] for told in lab.told("run.finished")] == ["failed"]


def test_a_late_timer_says_so(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(rotation_timer.RunFailed):
        rotation_timer.rotate_due(past_due=True, environ={}, root=tmp_path)
    assert any(one.getMessage().startswith("schedule.late") for one in caplog.records)
