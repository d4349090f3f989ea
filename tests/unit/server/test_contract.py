"""The contract and the route tables are one: each route is described, with every query that its handlers read."""

import re
from pathlib import Path

import jsonschema_rs

import wherry.server.routes
from wherry.server.contract.openapi import document, table, text
from wherry.server.contract.operations import OPERATIONS

_READ = re.compile(r'query\.(?:text|texts|flag|integer|nanoseconds|document|string_map|string_list)\("([\w-]+)"')


def test_each_route_is_described_and_nothing_else() -> None:
    assert [(route.method, route.pattern) for route in table()] == sorted(
        OPERATIONS, key=[(route.method, route.pattern) for route in table()].index
    )
    assert len(OPERATIONS) == len(table())


def test_queries_that_handlers_read_are_described() -> None:
    known = {name for operation in OPERATIONS.values() for name in operation.query}
    folder = Path(next(iter(wherry.server.routes.__path__)))
    read = {name for file in folder.glob("*.py") for name in _READ.findall(file.read_text())}
    assert len(read) > 50
    assert read <= known
    assert known - read <= {"filters", "term", "manifests", "noprune"}, "the last is taken, and changes nothing"


def test_the_file_in_docs_is_this_document() -> None:
    kept = Path(__file__).parents[3] / "docs" / "openapi.json"
    assert kept.read_text() == text(), "python -m wherry.server.contract.openapi > docs/openapi.json"


def test_schemas_are_schemas_and_references_lead_somewhere() -> None:
    found = document()
    for schema in found["components"]["schemas"].values():
        jsonschema_rs.validator_for({**schema, "components": found["components"]})
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text())) <= set(found["components"]["schemas"])
    paths = [re.sub(r"\{\w+\}", "{}", path) for path in found["paths"]]
    assert len(paths) == len(set(paths))
