"""
`/graphql/system` as Directus has it: documents in, answers out.

A selection becomes the same `Query` that REST's parameters become, so both answer alike. What a
document asks for is measured before it is checked: fragments and aliases multiply.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    execute_sync,
    get_argument_values,
    get_directive_values,
    get_operation_ast,
    parse,
    validate,
)

from runner.errors import RunnerError
from runner.query import columns, language
from runner.query.model import Collection, Column, Nested, Query, Schema, Selected
from runner.query.run import Budget, one, run
from runner.query.tables import Tables
from runner.types import JSONObject, JSONValue
from runner.web import graphql_schema

MAX_LENGTH: Final = 1 << 16
"""Characters of a document."""
MAX_TOKENS: Final = 4000
"""Words and signs of a document."""
MAX_WRITTEN: Final = 300
"""Fields and fragments that a document names: each is compared with all others like it."""
MAX_FIELDS: Final = 1000
"""Fields that a document asks for, those of a fragment as often as it is used."""
MAX_DEPTH: Final = 25
"""How deep fields and fragments may be nested; tools that read the whole schema need 20."""
MAX_QUERIES: Final = 20
"""Root fields: each may look at all records."""
_MAX_ERRORS: Final = 20
#: Characters of a message: it quotes the document.
_MAX_MESSAGE: Final = 300

#: A name in a message of graphql-core.
_NAME: Final = re.compile(r"'([^' ]+)'")


class Asked(NamedTuple):
    """What a request says."""

    document: str
    variables: JSONObject
    operation: str | None = None


class Context(NamedTuple):
    """What resolvers need to know of one request."""

    tables: Tables
    #: `user`, `role` and `roles` of whoever asks.
    caller: JSONObject
    #: What all queries of the document may come to, together.
    budget: Budget


_Info: TypeAlias = GraphQLResolveInfo[Context]


class InvalidDocument(RunnerError):
    """
    GraphQL validation error.

    *errors* says what is wrong with the document, each with its locations.
    """

    code = "GRAPHQL_VALIDATION"
    status = 400

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors=[_located(error) for error in errors[:_MAX_ERRORS]])


def _located(error: GraphQLError) -> JSONObject:
    places = [{"line": each.line, "column": each.column} for each in error.locations or ()]
    # Names stand in double quotes in the reference implementation, which Directus uses.
    message = _NAME.sub(r'"\1"', error.message[:_MAX_MESSAGE])
    return {"message": message, **({"locations": places} if places else {})}


class System:
    """Answers documents about the collections of a schema."""

    def __init__(self, schema: Schema, roots: Mapping[str, str]) -> None:
        self._schema = schema
        resolvers: dict[str, graphql_schema.Resolve] = {}
        for root, name in roots.items():
            resolvers |= _Root(schema, schema[name]).resolvers(root)
        self._types: GraphQLSchema = graphql_schema.build(schema, roots, resolvers)

    def read(self, asked: Asked) -> tuple[DocumentNode, OperationType | None]:
        """
        The document, and what kind of operation it wants run.

        Raises InvalidDocument for what is no document, or too much of one.
        """
        if len(asked.document) > MAX_LENGTH:
            raise _too_much(f"is longer than {MAX_LENGTH} characters")
        try:
            document = parse(
                asked.document, max_tokens=MAX_TOKENS, allow_empty_selection_sets=False
            )
        except GraphQLError as error:
            raise InvalidDocument([error]) from None
        except RecursionError:
            raise InvalidDocument([GraphQLError("The document is nested too deep.")]) from None
        _Measure(document).check()
        operation = get_operation_ast(document, asked.operation)
        return document, None if operation is None else operation.operation

    def answer(self, document: DocumentNode, asked: Asked, context: Context) -> JSONObject:
        """`{data, errors?}`. Raises InvalidDocument for what the types do not allow."""
        errors = validate(self._types, document, max_errors=_MAX_ERRORS)
        if errors:
            raise InvalidDocument(errors)
        result = execute_sync(
            self._types,
            document,
            context_value=context,
            variable_values=asked.variables,
            operation_name=asked.operation,
            field_resolver=_value,
        )
        if result.data is None and all(error.path is None for error in result.errors or ()):
            raise InvalidDocument(list(result.errors or ()))  # variables, the operation's name
        answer: JSONObject = {"data": result.data}
        if result.errors:
            answer["errors"] = [_failed(error) for error in result.errors]
        return answer


def _failed(error: GraphQLError) -> JSONObject:
    """An error that a resolver met."""
    original = error.original_error
    known = original if isinstance(original, RunnerError) else RunnerError()
    message = error.message if original is None or known is original else known.message
    return {
        **_located(error),
        "message": message,
        "path": list(error.path or ()),
        "extensions": {**known.extensions, "code": known.code},
    }


# --- measure ------------------------------------------------------------------------------------


class _Size(NamedTuple):
    """What a selection comes to."""

    #: Fields with all that is inside of them.
    fields: int = 0
    #: Those that stand at the top of it.
    top: int = 0


class _Measure:
    """How much a document asks for, without following a fragment twice."""

    def __init__(self, document: DocumentNode) -> None:
        self._definitions = document.definitions
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._sizes: dict[str, _Size] = {}
        self._written = 0

    def check(self) -> None:
        """Raise InvalidDocument if it is too much, even in a fragment that nothing uses."""
        for each in self._definitions:
            if isinstance(each, OperationDefinitionNode):
                size = self._size(each.selection_set, 0)
                if size.fields > MAX_FIELDS:
                    raise _too_much(f"asks for more than {MAX_FIELDS} fields")
                if size.top > MAX_QUERIES:
                    raise _too_much(f"has more than {MAX_QUERIES} queries")
            elif isinstance(each, FragmentDefinitionNode):
                self._fragment(each.name.value, 0)

    def _size(self, selections: SelectionSetNode | None, depth: int) -> _Size:
        fields = top = 0
        for each in selections.selections if selections else ():
            self._written += 1
            if self._written > MAX_WRITTEN:
                raise _too_much(f"names more than {MAX_WRITTEN} fields and fragments")
            size = self._part(each, depth + 1)
            fields, top = fields + size.fields, top + size.top
        return _Size(fields, top)

    def _part(self, selection: SelectionNode, depth: int) -> _Size:
        if depth > MAX_DEPTH:
            raise _too_much(f"is nested deeper than {MAX_DEPTH}")
        match selection:
            case FieldNode():
                return _Size(self._size(selection.selection_set, depth).fields + 1, 1)
            case InlineFragmentNode():
                return self._size(selection.selection_set, depth)
            case FragmentSpreadNode():
                return self._fragment(selection.name.value, depth)
        return _Size()

    def _fragment(self, name: str, depth: int) -> _Size:
        if name not in self._sizes:
            self._sizes[name] = _Size()  # in a circle, which is told later
            fragment = self._fragments.get(name)
            selections = None if fragment is None else fragment.selection_set
            self._sizes[name] = self._size(selections, depth)
        return self._sizes[name]


def _too_much(what: str) -> InvalidDocument:
    return InvalidDocument([GraphQLError(f"The document {what}.")])


# --- resolve ------------------------------------------------------------------------------------


class _Functions(NamedTuple):
    """Stands for the functions of a field: their values are in the record, under longer names."""

    record: JSONObject
    prefix: str


def _value(source: Any, info: _Info, **_: Any) -> Any:
    """A member of a record; records have them by the names in the answer."""
    key = str(info.path.key)
    if isinstance(source, _Functions):
        return source.record[f"{source.prefix}.{key}"]
    if "_aggregated" in info.parent_type.name:
        return source.get(info.field_name)
    return _Functions(source, key) if info.field_name.endswith("_func") else source[key]


class _Root:
    """The queries of one collection."""

    def __init__(self, schema: Schema, collection: Collection) -> None:
        self._schema = schema
        self._collection = collection

    def resolvers(self, root: str) -> dict[str, graphql_schema.Resolve]:
        """By the names of the root fields."""
        return {
            root: self._listed,
            f"{root}_by_id": self._by_id,
            f"{root}_aggregated": self._aggregated,
        }

    def _listed(self, _: object, info: _Info, **arguments: Any) -> JSONValue:
        query = self._query(info, arguments)
        return run(query, info.context.tables, info.context.budget).data

    def _by_id(self, _: object, info: _Info, id: str, version: str = "") -> JSONValue:  # noqa: A002
        query = self._query(info, {"filter": {self._collection.primary_key: {"_eq": id}}})
        return one(query, id.lower(), info.context.tables, info.context.budget)

    def _aggregated(self, _: object, info: _Info, **arguments: Any) -> JSONValue:
        wanted = _Selections(info).fields(info.field_nodes)
        groups = arguments.get("groupBy") or []
        given = _given(arguments) | {"groupBy": groups, "aggregate": _aggregates(wanted, info)}
        query = self._parse(given, info)
        if query.grouping is None:
            return []
        keys = [column.key for column in query.grouping.columns]
        rows = run(query, info.context.tables, info.context.budget).data
        return [{**row, "group": {key: row[key] for key in keys} or None} for row in rows]

    def _query(self, info: _Info, arguments: Mapping[str, Any]) -> Query:
        query = self._parse(_given(arguments), info)
        selections = _Selections(info)
        selection = selections.of(self._collection, info.field_nodes, self._schema)
        return replace(query, selection=tuple(selection))

    def _parse(self, given: JSONObject, info: _Info) -> Query:
        caller = info.context.caller
        return language.parse(given, self._collection, self._schema, caller=caller)


def _given(arguments: Mapping[str, Any]) -> JSONObject:
    """Arguments as REST's parameters."""
    given = {name: value for name, value in arguments.items() if value is not None}
    if "filter" in given:
        given["filter"] = _filter(given["filter"])
    return given


def _filter(value: Any) -> Any:
    """`date_created_func: {year: …}` as `year(date_created): …`."""
    if isinstance(value, list):
        return [_filter(each) for each in value]
    if not isinstance(value, dict):
        return value
    rules: JSONObject = {}
    for name, rule in value.items():
        if name.endswith("_func") and isinstance(rule, dict):
            field = name.removesuffix("_func")
            rules |= {f"{function}({field})": each for function, each in rule.items()}
        else:
            rules[name] = _filter(rule)
    return rules


def _aggregates(wanted: Mapping[str, list[FieldNode]], info: _Info) -> JSONObject:
    """What is selected of a row, as REST's `aggregate`."""
    found: JSONObject = {}
    for nodes in wanted.values():
        name = nodes[0].name.value
        inner = _Selections(info).fields(nodes)
        names = [each[0].name.value for each in inner.values()]
        if name == "countAll":
            found[name] = ["*"]
        elif name not in ("group", "__typename"):
            fields = [each for each in names if each != "__typename"]
            found[name] = list(dict.fromkeys([*found.get(name, []), *fields]))
    return {name: fields for name, fields in found.items() if fields}


class _Selections:
    """What a document selects, with its fragments and its variables put in."""

    def __init__(self, info: _Info) -> None:
        self._info = info

    def fields(self, nodes: list[FieldNode]) -> dict[str, list[FieldNode]]:
        """The fields inside of *nodes*, by their names in the answer."""
        found: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()
        for node in nodes:
            for each in self._flat(node.selection_set, spread):
                key = each.alias.value if each.alias else each.name.value
                found.setdefault(key, []).append(each)
        return found

    def _flat(self, selections: SelectionSetNode | None, spread: set[str]) -> Iterator[FieldNode]:
        """The fields of a selection; each fragment is put in once."""
        for each in selections.selections if selections else ():
            if not self._included(each):
                continue
            if isinstance(each, FieldNode):
                yield each
            elif isinstance(each, InlineFragmentNode):
                yield from self._flat(each.selection_set, spread)
            elif isinstance(each, FragmentSpreadNode) and each.name.value not in spread:
                spread.add(each.name.value)
                fragment = self._info.fragments[each.name.value]
                yield from self._flat(fragment.selection_set, spread)

    def _included(self, node: Any) -> bool:
        variables = self._info.variable_values
        skip = get_directive_values(GraphQLSkipDirective, node, variables)
        include = get_directive_values(GraphQLIncludeDirective, node, variables)
        return not (skip and skip["if"]) and not (include and not include["if"])

    def of(
        self, collection: Collection, nodes: list[FieldNode], schema: Schema
    ) -> Iterator[Selected | Nested]:
        """What is wanted of a record of *collection*."""
        for key, same in self.fields(nodes).items():
            name = same[0].name.value
            if name == "__typename":
                continue
            if name not in collection.fields:  # `…_func`: the types have seen to it
                yield from self._functions(key, name.removesuffix("_func"), same, collection)
                continue
            field = collection.fields[name]
            if field.relation is None:
                yield Selected(key, Column(name, field.type))
            else:
                target, arguments = schema[field.relation.collection], self._said(collection, same)
                query = self._inner(target, arguments, same, schema)
                yield Nested(key, name, field.relation, query)

    def _functions(
        self, key: str, field: str, nodes: list[FieldNode], collection: Collection
    ) -> Iterator[Selected]:
        for inner, same in self.fields(nodes).items():
            column = columns.find(f"{same[0].name.value}({field})", collection)
            if column is not None:
                yield Selected(f"{key}.{inner}", column)

    def _said(self, collection: Collection, nodes: list[FieldNode]) -> JSONObject:
        """The arguments of a field of *collection*; fields that are merged have the same."""
        type_ = cast("GraphQLObjectType", self._info.schema.type_map[collection.name])
        definition = type_.fields[nodes[0].name.value]
        return _given(get_argument_values(definition, nodes[0], self._info.variable_values))

    def _inner(
        self, target: Collection, said: JSONObject, nodes: list[FieldNode], schema: Schema
    ) -> Query:
        caller = self._info.context.caller
        query = language.parse({"limit": -1, **said}, target, schema, caller=caller)
        return replace(query, selection=tuple(self.of(target, nodes, schema)))
