"""GraphQL: the same answers as REST, in the form that a document asks for."""

import json
from typing import Any

import pytest

from runner.web.graphql_system import MAX_DEPTH, MAX_LENGTH, MAX_QUERIES, MAX_TOKENS, MAX_WRITTEN
from tests.unit.web.conftest import ECHO, TOKENS, Answer, Serve, Service

READER = {"Authorization": "Bearer the-reader-token"}
EDITOR = {"Authorization": "Bearer the-editor-token"}
ORDER = """
name: Order
icon: bolt
trigger: webhook
date_created: 2024-01-02T03:04:05Z
options: {method: GET, auth: none}
operations:
  - {key: a, type: transform, options: {json: {x: 1}}}
  - key: b
    type: log
    options: {message: done}
    reject: [{key: c, type: log, options: {message: no}}]
"""


@pytest.fixture
async def service(serve: Serve) -> Service:
    """A server with two flows, of which one has operations."""
    return await serve(TOKENS, order=ORDER, echo=ECHO)


async def ask(
    service: Service,
    document: str,
    variables: dict[str, Any] | None = None,
    headers: dict[str, str] = READER,
    path: str = "/graphql/system",
) -> Answer:
    """POST a document."""
    body = {"query": document, "variables": variables}
    return await service.post(path, json=body, headers=headers)


async def data(service: Service, document: str, variables: dict[str, Any] | None = None) -> Any:
    """What a document without errors gets."""
    answer = await ask(service, document, variables)
    assert answer.status == 200, answer.body
    assert list(answer.json) == ["data"], answer.body
    return answer.json["data"]


def told(answer: Answer) -> list[str]:
    """The messages of a document that is refused."""
    assert answer.status == 400, answer.body
    assert answer.code == "GRAPHQL_VALIDATION"
    (error,) = answer.json["errors"]
    return [each["message"] for each in error["extensions"]["errors"]]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{ flows(sort: ["name"]) { name } }', {"flows": [{"name": "Echo"}, {"name": "Order"}]}),
        ('{ flows(sort: ["-name"], limit: 1) { n: name } }', {"flows": [{"n": "Order"}]}),
        ('{ flows(search: "ORD") { name } }', {"flows": [{"name": "Order"}]}),
        (
            '{ flows(filter: {operations: {_some: {key: {_eq: "a"}}}}) { name } }',
            {"flows": [{"name": "Order"}]},
        ),
        (
            "{ flows(filter: {date_created_func: {year: {_eq: 2024}}}) { name } }",
            {"flows": [{"name": "Order"}]},
        ),
        (
            '{ flows(filter: {_or: [{name: {_eq: "Echo"}}, {icon: {_eq: "no"}}]}) { name } }',
            {"flows": [{"name": "Echo"}]},
        ),
        (
            '{ flows(filter: {name: {_eq: "Order"}}) { operations(sort: ["key"], limit: 2)'
            " { key type flow { name } } operation { key } } }",
            {
                "flows": [
                    {
                        "operations": [
                            {"key": "a", "type": "transform", "flow": {"name": "Order"}},
                            {"key": "b", "type": "log", "flow": {"name": "Order"}},
                        ],
                        "operation": {"key": "a"},
                    }
                ]
            },
        ),
        (
            '{ flows(search: "order") { operations_func { n: count }'
            " d: date_created_func { year month } options } }",
            {
                "flows": [
                    {
                        "operations_func": {"n": 3},
                        "d": {"year": 2024, "month": 1},
                        "options": {"method": "GET", "auth": "none"},
                    }
                ]
            },
        ),
        (
            '{ flows_aggregated(groupBy: ["trigger"]) { group countAll count { id icon } } }',
            {
                "flows_aggregated": [
                    {
                        "group": {"trigger": "webhook"},
                        "countAll": 2,
                        "count": {"id": 2, "icon": 1},
                    }
                ]
            },
        ),
        ("{ operations_aggregated { countAll } }", {"operations_aggregated": [{"countAll": 3}]}),
        (
            '{ a: operations(filter: {flow: {name: {_eq: "Order"}}}, sort: ["key"]) { key }'
            ' b: flows(search: "echo") { ...F } } fragment F on directus_flows { ...G }'
            " fragment G on directus_flows { __typename ... on directus_flows { name } }",
            {
                "a": [{"key": "a"}, {"key": "b"}, {"key": "c"}],
                "b": [{"__typename": "directus_flows", "name": "Echo"}],
            },
        ),
        ("{ server_ping }", {"server_ping": "pong"}),
    ],
)
async def test_a_document_gets_what_it_asks_for(
    service: Service, document: str, expected: Any
) -> None:
    """Arguments, filters, functions, aliases, fragments and groups, as in Directus."""
    assert await data(service, document) == expected


async def test_variables_and_directives_are_put_in(service: Service) -> None:
    """What is skipped is not asked for."""
    document = (
        "query Q($f: directus_flows_filter, $with: Boolean!) {"
        " flows(filter: $f) { name operations @include(if: $with) { key } icon @skip(if: true) } }"
    )

    got = await data(service, document, {"f": {"name": {"_icontains": "ECHO"}}, "with": True})

    assert got == {"flows": [{"name": "Echo", "operations": []}]}


async def test_one_flow_is_found_by_its_id(service: Service) -> None:
    """An unknown one is null; what is no id at all is an error beside the answer."""
    (order,) = (await data(service, '{ flows(search: "order") { id } }'))["flows"]
    unknown = "00000000-0000-4000-a000-000000000000"
    document = "query($id: ID!) { flows_by_id(id: $id) { name } }"

    found = await data(service, document, {"id": order["id"].upper()})
    missing = await data(service, document, {"id": unknown})
    malformed = await ask(service, document, {"id": "abc"})

    assert found == {"flows_by_id": {"name": "Order"}}
    assert missing == {"flows_by_id": None}
    assert malformed.status == 200
    assert malformed.json["data"] == {"flows_by_id": None}
    (error,) = malformed.json["errors"]
    assert error["extensions"]["code"] == "INVALID_QUERY"
    assert error["path"] == ["flows_by_id"]


async def test_a_query_may_come_by_get(service: Service) -> None:
    """With its variables as JSON text, and the name of the operation among several."""
    document = "query A { server_ping } query B($n: Int) { flows(limit: $n) { trigger } }"
    parameters = {"query": document, "variables": '{"n": 1}', "operationName": "B"}

    answer = await service.get("/graphql/system", params=parameters, headers=READER)

    assert answer.json == {"data": {"flows": [{"trigger": "webhook"}]}}


@pytest.mark.parametrize(("headers", "path"), [({}, "/graphql/system"), (EDITOR, "/graphql")])
async def test_who_may_not_read_flows_sees_that_there_are_none(
    serve: Serve, headers: dict[str, str], path: str
) -> None:
    """The types do not have them, as in Directus; the items of collections come with databases."""
    service = await serve(TOKENS, echo=ECHO)

    answer = await ask(service, "{ flows { id } }", headers=headers, path=path)

    assert told(answer) == ['Cannot query field "flows" on type "Query".']


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_mutations_are_refused_with_the_way_that_flows_change(
    service: Service, method: str
) -> None:
    """405, whatever the mutation; by GET none is allowed at all."""
    query = {"query": 'mutation { delete_flows_item(id: "x") { id } }'}
    how = {"params": query} if method == "GET" else {"json": query}

    answer = await service.ask(method, "/graphql/system", headers=READER, **how)

    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == ("POST" if method == "GET" else "GET, POST")
    assert ("commit" in answer.message) is (method == "POST")


async def test_who_may_not_read_flows_is_not_told_how_they_change(service: Service) -> None:
    """403, as for the routes that write."""
    document = 'mutation { delete_flows_item(id: "x") { id } }'

    answer = await ask(service, document, headers={})

    assert (answer.status, answer.code) == (403, "FORBIDDEN")


FRAGMENTS = " ".join(
    f"fragment F{n - 1} on directus_flows {{"
    f" ...F{n} a{n}: operations {{ key f: flow {{ ...F{n} }} g: flow {{ ...F{n} }} }} }}"
    for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ flows(", "Syntax Error: Expected Name, found <EOF>."),
        ("", "Syntax Error: Unexpected <EOF>."),
        ("{ flows { nope } }", 'Cannot query field "nope" on type "directus_flows".'),
        ("{ flows { operation } }", "must have a selection of subfields"),
        ('{ flows(limit: "x") { id } }', "Int cannot represent non-integer value"),
        ("query A { server_ping } query B { server_ping }", "Must provide operation name"),
        ("query($x: Int!) { flows(limit: $x) { id } }", '"$x"'),
        ("{ a" * 3000 + " }" * 3000, "nested too deep"),
        ("{ " + "a: server_ping " * (MAX_TOKENS // 3 + 1) + "}", "Document contains more than"),
        (
            "{ " + "".join(f"a{n}: server_ping " for n in range(MAX_QUERIES + 1)) + "}",
            f"more than {MAX_QUERIES} queries",
        ),
        (
            "{ flows { " + "name " * MAX_WRITTEN + "} }",
            f"more than {MAX_WRITTEN} fields and fragments",
        ),
        (
            "{ server_ping } fragment A on Query { " + "server_ping " * MAX_WRITTEN + "}",
            f"more than {MAX_WRITTEN} fields and fragments",
        ),
        ("# " + "a" * MAX_LENGTH, f"longer than {MAX_LENGTH} characters"),
        (
            "{ ...F0 } "
            + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(100))
            + " fragment F100 on Query { server_ping }",
            f"nested deeper than {MAX_DEPTH}",
        ),
        (
            "{ flows {" + "operation { flow {" * MAX_DEPTH + "id" + "} }" * MAX_DEPTH + "} }",
            f"nested deeper than {MAX_DEPTH}",
        ),
        (
            f"{{ flows {{ ...F0 }} }} {FRAGMENTS} fragment F8 on directus_flows {{ id }}",
            "asks for more than",
        ),
        (
            "{ flows { ...A } } fragment A on directus_flows { ...B }"
            " fragment B on directus_flows { ...A }",
            'Cannot spread fragment "A" within itself via "B".',
        ),
    ],
)
async def test_a_document_that_cannot_be_answered_is_told_why(
    service: Service, document: str, expected: str
) -> None:
    """400 with what is wrong; what would be too much is refused before it is looked at closely."""
    answer = await ask(service, document)

    assert any(expected in message for message in told(answer)), told(answer)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'"x"',
        b'{"query": 5}',
        b'{"query": "{ server_ping }", "variables": []}x',
        b'{"query": "{ server_ping }", "variables": [1]}',
        b'{"query": "{ server_ping }", "operationName": 5}',
    ],
)
async def test_a_body_that_is_none_is_refused(service: Service, body: bytes) -> None:
    """400 INVALID_PAYLOAD."""
    headers = {**READER, "Content-Type": "application/json"}

    answer = await service.post("/graphql/system", data=body, headers=headers)

    assert (answer.status, answer.code) == (400, "INVALID_PAYLOAD")


async def test_tools_can_read_the_whole_schema(service: Service) -> None:
    """The query that GraphQL clients send first is within the limits, and says Directus' names."""
    from graphql import get_introspection_query

    got = await data(service, get_introspection_query(descriptions=True))

    names = {each["name"] for each in got["__schema"]["types"]}
    assert names >= {
        "directus_flows", "directus_operations", "directus_users", "directus_flows_filter",
        "directus_operations_quantifier_filter", "directus_flows_aggregated", "JSON", "Date",
        "string_filter_operators", "number_filter_operators", "date_filter_operators",
        "id_filter_operators", "count_functions", "datetime_functions",
    }  # fmt: skip


async def test_the_queries_of_a_document_share_what_they_may_come_to(serve: Serve) -> None:
    """What one query may ask for, twenty may not ask for twenty times."""
    operations = ", ".join("{type: log, options: {message: x}}" for _ in range(300))
    service = await serve(
        TOKENS, **{f"f{n}": f"{ECHO}operations: [{operations}]" for n in range(20)}
    )
    query = "operations(limit: -1) { id name key type flow { name } }"

    one = await ask(service, f"{{ {query} }}")
    many = await ask(service, "{ " + " ".join(f"q{n}: {query}" for n in range(20)) + " }")

    assert "errors" not in one.json
    assert many.json["errors"][0]["extensions"]["code"] == "INVALID_QUERY"


async def test_an_answer_that_nobody_means_is_an_error_and_not_a_long_wait(serve: Serve) -> None:
    """Relations multiply: what would be millions of values is refused in the middle."""
    operations = ", ".join("{type: log, options: {message: x}}" for _ in range(200))
    service = await serve(
        TOKENS, wide=f"{ECHO}operations: [{operations}]", **{f"f{n}": ECHO for n in range(20)}
    )
    inner = "id"
    for _ in range(3):
        inner = f"operations {{ flow {{ {inner} }} }}"

    answer = await ask(service, f"{{ flows {{ {inner} }} }}")

    assert answer.json["data"] is None
    assert answer.json["errors"][0]["extensions"]["code"] == "INVALID_QUERY"
    assert len(json.dumps(answer.json)) < 1000
