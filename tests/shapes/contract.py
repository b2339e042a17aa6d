"""The vendor's answers as the contract describes them: which fields there are, and a valid answer of each operation."""

from __future__ import annotations

from typing import Any

from tests.sandbox.contract import V2, contract, operations


def schema_of(operation: str) -> dict[str, Any]:
    """Of the answer of a success."""
    method, path = operations()[operation]
    responses = contract()["paths"][path][method.lower()]["responses"]
    success = next(responses[status] for status in ("200", "201") if status in responses)
    schema: dict[str, Any] = _resolved(success)["content"][V2]["schema"]
    return schema


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found = contract()
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def names(operation: str) -> list[str]:
    """Every field of the answer by its name, rows by that of their list with `[]`, in one order always."""
    found: dict[str, None] = {}

    def walk(schema: dict[str, Any], name: str) -> None:
        schema = _resolved(schema)
        found.setdefault(name)
        for key, each in schema.get("properties", {}).items():
            walk(each, key)
        if "items" in schema:
            walk(schema["items"], f"{name}[]")

    walk(schema_of(operation), "")
    return [name for name in found if name]


def sample(operation: str) -> Any:
    """A valid answer, with two rows in each list."""
    return _sample(schema_of(operation))


_PLAIN: dict[str, Any] = {"integer": 7, "number": 9.5, "string": "text", "boolean": True}


def _sample(schema: dict[str, Any]) -> Any:
    schema = _resolved(schema)
    if schema.get("example") not in (None, []):
        return schema["example"]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema or schema.get("type") == "object":
        return {key: _sample(each) for key, each in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [_sample(schema.get("items", {})) for _ in range(2)]
    return _PLAIN.get(schema.get("type", ""), [])
