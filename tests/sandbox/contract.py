"""The vendor's contract, for checking an answer against it."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import requests
import yaml

FILE = Path(__file__).parents[1] / "contract" / "altegio-openapi.yaml"
V2 = "application/vnd.api.v2+json"


@functools.cache
def contract() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def operations() -> dict[str, tuple[str, str]]:
    """Every operation's method and path by its name."""
    paths = contract()["paths"]
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def check(answer: requests.Response, prefix: str = "/api/v1") -> str:
    """Fails unless the contract declares this answer for this request; returns the operation's name."""
    path = urlsplit(str(answer.request.url)).path.removeprefix(prefix)
    for template, methods in contract()["paths"].items():
        method = str(answer.request.method).lower()
        if method in methods and re.fullmatch(re.sub(r"\{\w+\}", "[0-9]+", template), path):
            _check_answer(methods[method], answer)
            return str(methods[method]["operationId"])
    raise AssertionError(f"The contract knows no {answer.request.method} {path}.")


def _check_answer(operation: dict[str, Any], answer: requests.Response) -> None:
    declared = operation["responses"]
    assert str(answer.status_code) in declared, f"{operation['operationId']} answered {answer.status_code}"
    response = declared[str(answer.status_code)]
    if "$ref" in response:
        response = contract()["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    schema = {**response["content"][V2]["schema"], "components": contract()["components"]}
    jsonschema.Draft202012Validator(_nullable(schema)).validate(answer.json())


def _nullable(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` in today's JSON Schema."""
    if isinstance(schema, list):
        return [_nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _nullable(value) for key, value in schema.items()}
    if changed.get("nullable") is True and "type" in changed:
        changed["type"] = [changed["type"], "null"]
    return changed
