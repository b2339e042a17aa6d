"""Whatever is asked within the contract or beside it, the sandbox answers as the contract declares: schemathesis tries."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.sandbox import contract
from tests.sandbox.scene import TIMEOUT, Scene

pytestmark = pytest.mark.schemathesis

EXAMPLES = 12
ACCEPT = "#/components/parameters/Accept"
QUIETLY = settings(
    derandomize=True,
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def schema() -> Any:
    """The contract but for what cannot be violated: an Accept header that may be missing for all that is known, a list of
    texts in a query, which one text is as well, and names that nobody knows, which Altegio ignores.
    """
    import schemathesis
    from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig

    contents = copy.deepcopy(contract.contract())
    for methods in contents["paths"].values():
        for operation in methods.values():
            operation["parameters"] = [
                each
                for each in operation.get("parameters", ())
                if each.get("$ref") != ACCEPT and each.get("name") != "group_permissions[]"
            ]
    generation = GenerationConfig(allow_extra_parameters=False)
    return schemathesis.openapi.from_dict(
        contents,
        config=SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation))),
    )


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("name", contract.operations())
def test_any_request__is_answered_as_the_contract_declares(
    scene: Scene, schema: Any, name: str, mode: str
) -> None:
    """Valid and invalid ones; with numbers that mean nothing, and with those that are in the books."""
    from schemathesis import GenerationMode

    method, path = contract.operations()[name]
    ids = {**scene.ids, "location_id": scene.location.id, "chain_id": scene.location.chain_id}
    ids |= {"client_id": scene.client.id, "card_id": scene.card.id, "program_id": scene.program.id}
    headers = {"Authorization": str(scene.caller.session.headers["Authorization"]), "Accept": contract.V2}

    @QUIETLY
    @given(case=schema[path][method].as_strategy(generation_mode=GenerationMode(mode)))
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=scene.sandbox.url, headers=headers, timeout=TIMEOUT)
        is_valid = {str(place.value): part.mode.is_positive for place, part in case.meta.components.items()}
        if is_valid.get("path", True):
            case.path_parameters = {key: ids[key] for key in case.path_parameters or {}}
        if is_valid.get("body", True) and isinstance(case.body, dict):
            case.body = {key: ids.get(key, value) for key, value in case.body.items()}
        case.call_and_validate(base_url=scene.sandbox.url, headers=headers, timeout=TIMEOUT)

    ask()
    assert mode == "negative" or scene.sandbox.requests[-1].status in (200, 201, 401), name
