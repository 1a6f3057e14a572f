"""What comes before what: null has a place of its own, and dates are not texts."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar

from runner.operators import as_date, milliseconds
from runner.query.model import Type
from runner.query.tables import Read

T = TypeVar("T")


def ordered(things: Iterable[T], read: Callable[[T], Any], *, descending: bool = False) -> list[T]:
    """
    Sort by what *read* gives; null comes last, and first if *descending*.

    What is equal keeps its order. Text is compared by code point.
    """
    some: list[tuple[Any, T]] = []
    none: list[T] = []
    for thing in things:
        value = read(thing)
        if value is None:
            none.append(thing)
        else:
            some.append((value, thing))
    some.sort(key=itemgetter(0), reverse=descending)
    found = [thing for _, thing in some]
    return none + found if descending else found + none


def comparable(read: Read, type_: Type) -> Read:
    """*read*, giving values that compare as they should: of dates, milliseconds since 1970."""
    return (lambda record: moment(read(record))) if type_ is Type.TIMESTAMP else read


# The same records are asked again and again, and finding out takes 3 µs each time.
@lru_cache(maxsize=1 << 14)
def moment(text: str | None) -> float | None:
    """Milliseconds since 1970; None of what is no date."""
    date = as_date(text)
    return None if date is None else milliseconds(date)
