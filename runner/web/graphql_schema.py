"""GraphQL types made from collections, named as Directus names them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
)

from runner.query.filters import OPERATORS_OF
from runner.query.model import Collection, Field, Schema, ToMany, ToOne, Type
from runner.types import JSONValue

#: Takes what graphql-core gives to a resolver of a root field: source, info, arguments.
Resolve = Callable[..., JSONValue]

JSON: Final = GraphQLScalarType("JSON", description="Any JSON value.")
DATE: Final = GraphQLScalarType("Date", description="A time, ISO 8601.")

_SCALARS: Final[Mapping[Type, GraphQLScalarType]] = {
    Type.UUID: GraphQLString,
    Type.STRING: GraphQLString,
    Type.TEXT: GraphQLString,
    Type.INTEGER: GraphQLInt,
    Type.FLOAT: GraphQLFloat,
    Type.BOOLEAN: GraphQLBoolean,
    Type.TIMESTAMP: DATE,
    Type.JSON: JSON,
}

_NUMBERS: Final = (Type.INTEGER, Type.FLOAT)
_DATE_PARTS: Final = ("year", "month", "week", "day", "weekday", "hour", "minute", "second")
#: What can be computed of all fields, and of numbers only.
_COUNTS: Final = ("count", "countDistinct")
_SUMS: Final = ("avg", "sum", "avgDistinct", "sumDistinct", "min", "max")

_FUNCTIONS: Final = {
    name: GraphQLObjectType(name, {part: GraphQLField(GraphQLInt) for part in parts})
    for name, parts in {"count_functions": ("count",), "datetime_functions": _DATE_PARTS}.items()
}


def build(
    schema: Schema, roots: Mapping[str, str], resolvers: Mapping[str, Resolve]
) -> GraphQLSchema:
    """
    Queries for collections: *roots* has the collection's name by that of the query (`flows`).

    *resolvers* are those of `{root}`, `{root}_by_id` and `{root}_aggregated`.
    """
    types = _Types(schema)
    fields = {"server_ping": GraphQLField(GraphQLString, resolve=lambda *_: "pong")}
    for root, name in roots.items():
        collection = schema[name]
        fields[root] = GraphQLField(
            _list_of(types.object(collection)),
            types.arguments(collection),
            resolve=resolvers[root],
        )
        fields[f"{root}_by_id"] = GraphQLField(
            types.object(collection),
            {"id": _needed(GraphQLID), "version": GraphQLArgument(GraphQLString)},
            resolve=resolvers[f"{root}_by_id"],
        )
        fields[f"{root}_aggregated"] = GraphQLField(
            _list_of(types.aggregated(collection)),
            {"groupBy": _texts()} | types.arguments(collection),
            resolve=resolvers[f"{root}_aggregated"],
        )
    return GraphQLSchema(GraphQLObjectType("Query", fields))


def _list_of(type_: GraphQLObjectType) -> GraphQLNonNull[Any]:
    return GraphQLNonNull(GraphQLList(GraphQLNonNull(type_)))


def _needed(type_: GraphQLScalarType) -> GraphQLArgument:
    return GraphQLArgument(GraphQLNonNull(type_))


def _texts() -> GraphQLArgument:
    return GraphQLArgument(GraphQLList(GraphQLString))


def function_of(field: Field) -> str | None:
    """The name of the type that has the functions of a field; None where there are none."""
    if field.type in (Type.JSON, Type.ALIAS):
        return "count_functions"
    return "datetime_functions" if field.type is Type.TIMESTAMP else None


class _Types:
    """Makes each type once; collections lead to each other in circles."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._objects: dict[str, GraphQLObjectType] = {}
        self._inputs: dict[str, GraphQLInputObjectType] = {}

    # --- records

    def object(self, collection: Collection) -> GraphQLObjectType:
        """The type of a record."""
        name = collection.name
        if name not in self._objects:
            self._objects[name] = GraphQLObjectType(name, lambda: self._fields(collection))
        return self._objects[name]

    def _fields(self, collection: Collection) -> dict[str, GraphQLField]:
        fields: dict[str, GraphQLField] = {}
        for name, field in collection.fields.items():
            if field.hidden:
                continue
            fields[name] = self._field(name, field, collection)
            function = function_of(field)
            if function is not None:
                fields[f"{name}_func"] = GraphQLField(_FUNCTIONS[function])
        return fields

    def _field(self, name: str, field: Field, collection: Collection) -> GraphQLField:
        match field.relation:
            case ToOne():
                return GraphQLField(self.object(self._schema[field.relation.collection]))
            case ToMany():
                target = self._schema[field.relation.collection]
                return GraphQLField(GraphQLList(self.object(target)), self.arguments(target))
        scalar = GraphQLID if name == collection.primary_key else _SCALARS[field.type]
        return GraphQLField(GraphQLNonNull(scalar) if field.required else scalar)

    def arguments(self, collection: Collection) -> dict[str, GraphQLArgument]:
        """What may be said of a list of records."""
        return {
            "filter": GraphQLArgument(self.filter(collection)),
            "sort": _texts(),
            "limit": GraphQLArgument(GraphQLInt),
            "offset": GraphQLArgument(GraphQLInt),
            "page": GraphQLArgument(GraphQLInt),
            "search": GraphQLArgument(GraphQLString),
        }

    # --- filters

    def filter(self, collection: Collection) -> GraphQLInputObjectType:
        """The type of a filter of records."""
        name = f"{collection.name}_filter"
        return self._input(name, lambda: self._rules(collection, name))

    def _quantified(self, collection: Collection) -> GraphQLInputObjectType:
        """The type of a filter of a relation to many."""
        name = f"{collection.name}_quantifier_filter"
        inner = self.filter(collection)
        more = {each: GraphQLInputField(inner) for each in ("_some", "_none")}
        return self._input(name, lambda: self._rules(collection, name) | more)

    def _rules(self, collection: Collection, own: str) -> dict[str, GraphQLInputField]:
        rules: dict[str, GraphQLInputField] = {}
        for name, field in collection.fields.items():
            if field.hidden:
                continue
            rules[name] = GraphQLInputField(self._rule(name, field, collection))
            function = function_of(field)
            if function is not None:
                rules[f"{name}_func"] = GraphQLInputField(self._function_rules(function))
        several = GraphQLList(self._inputs[own])
        return rules | {each: GraphQLInputField(several) for each in ("_and", "_or")}

    def _rule(self, name: str, field: Field, collection: Collection) -> GraphQLInputObjectType:
        match field.relation:
            case ToOne():
                return self.filter(self._schema[field.relation.collection])
            case ToMany():
                return self._quantified(self._schema[field.relation.collection])
        kind = "id" if name == collection.primary_key else _KINDS[field.type]
        return self._operators(kind, field.type)

    def _function_rules(self, function: str) -> GraphQLInputObjectType:
        operators = self._operators("number", Type.INTEGER)
        parts = _FUNCTIONS[function].fields
        return self._input(
            f"{function.removesuffix('s')}_filter_operators",
            lambda: {part: GraphQLInputField(operators) for part in parts},
        )

    def _operators(self, kind: str, type_: Type) -> GraphQLInputObjectType:
        scalar = GraphQLID if kind == "id" else _SCALARS[type_]
        return self._input(
            f"{kind}_filter_operators",
            lambda: {
                name: GraphQLInputField(_operand(name, scalar))
                for name in sorted(OPERATORS_OF[type_])
            },
        )

    def _input(
        self, name: str, fields: Callable[[], dict[str, GraphQLInputField]]
    ) -> GraphQLInputObjectType:
        if name not in self._inputs:
            self._inputs[name] = GraphQLInputObjectType(name, fields)
        return self._inputs[name]

    # --- groups

    def aggregated(self, collection: Collection) -> GraphQLObjectType:
        """The type of a row of `{root}_aggregated`."""
        name = f"{collection.name}_aggregated"
        own = {each: field for each, field in collection.fields.items() if not field.hidden}
        numbers = {each: field for each, field in own.items() if field.type in _NUMBERS}
        counted = GraphQLObjectType(
            f"{name}_count", {each: GraphQLField(GraphQLInt) for each in own}
        )
        fields = {"group": GraphQLField(JSON), "countAll": GraphQLField(GraphQLInt)}
        fields |= {each: GraphQLField(counted) for each in _COUNTS}
        if numbers:
            summed = GraphQLObjectType(
                f"{name}_fields", {each: GraphQLField(GraphQLFloat) for each in numbers}
            )
            fields |= {each: GraphQLField(summed) for each in _SUMS}
        return GraphQLObjectType(name, fields)


_KINDS: Final[Mapping[Type, str]] = {
    Type.UUID: "id",
    Type.STRING: "string",
    Type.TEXT: "string",
    Type.INTEGER: "number",
    Type.FLOAT: "number",
    Type.BOOLEAN: "boolean",
    Type.TIMESTAMP: "date",
    Type.JSON: "json",
}


def _operand(operator: str, scalar: GraphQLScalarType) -> Any:
    if operator in ("_null", "_nnull", "_empty", "_nempty"):
        return GraphQLBoolean
    if operator in ("_in", "_nin", "_between", "_nbetween"):
        return GraphQLList(scalar)
    return scalar
