"""UUIDs."""

import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from runner.ids import NAMESPACE, derived_id, is_uuid, random_id


@given(st.uuids(), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_derived_id_is_what_uuid5_gives(namespace: uuid.UUID, name: str) -> None:
    """Other programs can work out the id of a flow from its key."""
    assert derived_id(str(namespace), name) == str(uuid.uuid5(namespace, name))


def test_a_random_id_is_a_version_7_uuid_and_never_the_same() -> None:
    """Two executions never share an id."""
    ids = {random_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert {uuid.UUID(each).version for each in ids} == {7}
    assert {uuid.UUID(each).variant for each in ids} == {uuid.RFC_4122}


def test_a_random_id_begins_with_the_time() -> None:
    """What is indexed by id finds the executions of one moment in one place."""
    before, id_, after = time.time(), uuid.UUID(random_id()), time.time()

    assert int(before * 1000) <= id_.int >> 80 <= int(after * 1000)


def test_what_is_written_like_a_uuid_is_one_in_either_case() -> None:
    """Keys of flows keep clear of both."""
    assert is_uuid(NAMESPACE)
    assert is_uuid(NAMESPACE.upper())
    assert not is_uuid(f"{NAMESPACE}0")
