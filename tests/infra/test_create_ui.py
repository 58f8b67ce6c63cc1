"""What the portal asks for behind the button: names, limits and choices are the template's."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest

import shared
from sandbox.process.running import ROOT
from tests.lab.bicep import INFRA

FORM: dict[str, Any] = json.loads((INFRA / "createUiDefinition.json").read_text(encoding="utf-8"))["parameters"]
TEMPLATE: dict[str, Any] = json.loads((INFRA / "azuredeploy.json").read_text(encoding="utf-8"))["parameters"]
ELEMENTS: dict[str, dict[str, Any]] = {
    element["name"]: element
    for element in [*FORM["basics"], *(element for step in FORM["steps"] for element in step["elements"])]
    if element["type"] != "Microsoft.Common.TextBlock"
}
TYPES = {"Microsoft.Common.TextBox", "Microsoft.Common.DropDown"}


def test_it_gives_the_template_parameters_that_it_has_and_every_one_that_it_needs() -> None:
    assert set(FORM["outputs"]) == {*ELEMENTS, "location"}
    assert set(FORM["outputs"]) <= set(TEMPLATE)
    assert {name for name, parameter in TEMPLATE.items() if "defaultValue" not in parameter} <= set(FORM["outputs"])
    required = {name for name, element in ELEMENTS.items() if element["constraints"]["required"]}
    assert {"deploymentName", "alertEmail"} <= required


def test_an_output_names_the_element_where_it_stands() -> None:
    places = {element["name"]: "basics('{}')" for element in FORM["basics"]}
    for step in FORM["steps"]:
        places |= {element["name"]: f"steps('{step['name']}').{{}}" for element in step["elements"]}
    for name in ELEMENTS:
        assert places[name].format(name) in FORM["outputs"][name]
    said = json.dumps(FORM)
    for step, name in re.findall(r"steps\('(\w+)'\)\.(\w+)", said):
        assert places[name].format(name) == f"steps('{step}').{name}"


def test_elements_are_of_known_types_and_say_what_they_are_for() -> None:
    assert {element["type"] for element in ELEMENTS.values()} == TYPES
    for element in ELEMENTS.values():
        assert element["label"]
        assert element["toolTip"]


def test_choices_are_the_template_s() -> None:
    def offered(name: str) -> set[str]:
        return {choice["value"] for choice in ELEMENTS[name]["constraints"]["allowedValues"]}

    for name in ("networkMode", "inventoryFrom"):
        assert offered(name) == set(TEMPLATE[name]["allowedValues"])
    assert TEMPLATE["rotationSchedule"]["defaultValue"] in offered("rotationSchedule")
    for name in ("networkMode", "rotationSchedule", "inventoryFrom"):
        element = ELEMENTS[name]
        chosen = {choice["label"]: choice["value"] for choice in element["constraints"]["allowedValues"]}
        assert chosen[element["defaultValue"]] == TEMPLATE[name]["defaultValue"]


def test_each_place_of_the_inventory_says_what_is_still_to_be_done() -> None:
    (code,) = [step for step in FORM["steps"] if step["name"] == "code"]
    told = [element for element in code["elements"] if element["type"] == "Microsoft.Common.TextBlock"]
    assert {element["visible"] for element in told} == {
        f"[equals(steps('code').inventoryFrom, '{place}')]" for place in TEMPLATE["inventoryFrom"]["allowedValues"]
    }
    for element in told:
        assert "nothing is rotated, and every run says so, until you" in element["options"]["text"]
        for page in re.findall(r"docs/[a-z-]+\.md", element["options"]["text"]):
            assert (ROOT / page).exists()


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("deploymentName", ["ab", "contoso-pats", "a" * 40], ["a", "-ab", "ab-", "a_b", "a" * 41, "two words"]),
        ("alertEmail", ["platform@contoso.com"], ["platform", "a b@contoso.com", ""]),
        ("packageUri", ["", "https://contoso.com/patrol.zip"], ["http://contoso.com/patrol.zip", "patrol.zip"]),
        ("patsVaultName", ["", "kv-contoso"], ["1kv", "kv-", "a" * 25]),
        ("credentialsVaultName", ["", "kv-contoso"], ["1kv", "kv_contoso"]),
        ("authClientId", ["", "22222222-2222-3333-4444-555555555555"], ["patrol"]),
        ("addressPrefix", ["", "10.20.0.0/24"], ["10.20.0.0", "somewhere"]),
    ],
)
def test_what_the_template_would_refuse_the_form_refuses_first(name: str, good: list[str], bad: list[str]) -> None:
    (rule,) = ELEMENTS[name]["constraints"]["validations"]
    assert [value for value in good if not re.search(rule["regex"], value)] == []
    assert [value for value in bad if re.search(rule["regex"], value)] == []
    assert rule["message"]


def test_the_button_brings_this_version_s_code_from_a_release() -> None:
    assert ELEMENTS["packageUri"]["defaultValue"].endswith(f"/releases/download/v{shared.__version__}/patrol.zip")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    portal = r"\(https://portal\.azure\.com/#create/Microsoft\.Template/uri/(\S+)/createUIDefinitionUri/(\S+)\)"
    (link,) = re.findall(portal, readme)
    for address, file in zip(link, ("infra/azuredeploy.json", "infra/createUiDefinition.json"), strict=True):
        assert unquote(address) == f"https://raw.githubusercontent.com/OWNER/patrol/main/{file}"
        assert (ROOT / file).exists()
    release = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    assert "gh release create" in release
    assert "patrol.zip" in release
