"""The tables and views of a database, as they are at the moment."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Column, Connection, MetaData, Table, inspect, types
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.engine.reflection import Inspector, ObjectKind
from sqlalchemy.exc import SAWarning

from runner.items import values
from runner.items.values import Convert, Kind
from runner.query.model import Collection, Field


class AsGiven(types.UserDefinedType[Any]):
    """A type that leaves values as drivers take and give them; what they mean, we say."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """How a table would be made with it, which nobody does."""
        return "TEXT"


AS_GIVEN: Final = AsGiven()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Items:
    """A table or view, and what it means to a query."""

    table: Table
    collection: Collection
    #: By the name of the column.
    kinds: Mapping[str, Kind]
    #: What makes JSON of its values.
    readers: Mapping[str, Convert]
    #: The column that names an item; None: there is none, or it takes several.
    key: Column[Any] | None
    #: What items come by that are equal otherwise.
    order: Sequence[Column[Any]]
    sqlite: bool
    #: What others have worked out for it; with the table, all of that is forgotten.
    worked_out: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """That of the collection."""
        return self.collection.name


def reflect(connection: Connection, name: str) -> Items | None:
    """The table or view *name* of the schema that is searched first; None: there is none."""
    # A type that SQLAlchemy does not know is no news: it comes as text.
    warnings.filterwarnings("ignore", "Did not recognize type|Could not instantiate", SAWarning)
    inspector = inspect(connection)
    # By its exact name, and not among what belongs to the database itself.
    found = inspector.get_multi_columns(filter_names=[name], kind=ObjectKind.ANY)
    if not any(each == name for _, each in found):
        return None
    table = Table(
        name,
        MetaData(),
        autoload_with=connection,
        resolve_fks=False,
        listeners=[("column_reflect", _keep_kind)],
    )
    return _items(table, sqlite=connection.dialect.name == "sqlite")


def _items(table: Table, *, sqlite: bool) -> Items:
    # Names are a kind of text of SQLAlchemy's own; JSON knows one kind.
    kinds: dict[str, Kind] = {str(each.name): each.info["kind"] for each in table.columns}
    keys = list(table.primary_key.columns)
    if not keys and "id" in kinds:  # a view
        keys = [table.columns["id"]]
    return Items(
        table=table,
        collection=Collection(
            name=str(table.name),
            fields={
                name: Field(values.TYPES[kind], required=not table.columns[name].nullable)
                for name, kind in kinds.items()
            },
            primary_key=str(keys[0].name) if keys else next(iter(kinds)),
        ),
        kinds=kinds,
        readers={name: values.reader(kind, sqlite=sqlite) for name, kind in kinds.items()},
        key=keys[0] if len(keys) == 1 else None,
        order=keys or [table.columns[0]],
        sqlite=sqlite,
    )


def _keep_kind(inspector: Inspector, _: Table, column: ReflectedColumn) -> None:
    kind = _kind(column["type"])
    column["info"] = {"kind": kind}  # type: ignore[typeddict-unknown-key]
    if kind is not Kind.INTEGER:  # with them, SQLAlchemy knows which keys come by themselves
        column["type"] = AS_GIVEN
    if column.get("autoincrement") is True:  # the sequence of a `serial`; it is known as such
        column["default"] = None
    if column.get("primary_key"):  # of SQLite, which says of its keys that they may be null
        column["nullable"] = False


def _kind(type_: types.TypeEngine[Any]) -> Kind:
    if isinstance(type_, postgresql.DOMAIN):
        return _kind(type_.data_type)
    if isinstance(type_, types.TIMESTAMP | types.DateTime):
        zoned = type_.timezone or (isinstance(type_, types.TIMESTAMP) and not _is_postgresql(type_))
        return Kind.TIMESTAMP if zoned else Kind.DATETIME
    return next((kind for of, kind in _KINDS if isinstance(type_, of)), Kind.OTHER)


def _is_postgresql(type_: types.TypeEngine[Any]) -> bool:
    return isinstance(type_, postgresql.TIMESTAMP)


#: The first that fits.
_KINDS: Final[tuple[tuple[type[types.TypeEngine[Any]], Kind], ...]] = (
    (types.Enum, Kind.OTHER),
    (types.Boolean, Kind.BOOLEAN),
    (types.Integer, Kind.INTEGER),
    (types.Float, Kind.FLOAT),
    (types.Numeric, Kind.DECIMAL),
    (types.Uuid, Kind.UUID),
    (types.Date, Kind.DATE),
    (types.Time, Kind.TIME),
    (types.ARRAY, Kind.ARRAY),
    (types.JSON, Kind.JSON),
    (types.LargeBinary, Kind.BYTES),
    (types.String, Kind.TEXT),
)
