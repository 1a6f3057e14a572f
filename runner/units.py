"""Durations and sizes as people write them: `30s`, `1MiB`."""

import re
from typing import Final

# Nine digits of seconds are 31 years: whoever needs more has a larger unit.
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE: Final = re.compile("([0-9]{1,12})(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")

_MILLISECONDS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES: Final[dict[str, int]] = {
    "B": 1,
    **{prefix + "B": 1000**power for power, prefix in enumerate("KMGT", start=1)},
    **{prefix + "iB": 1024**power for power, prefix in enumerate("KMGT", start=1)},
}


def parse_duration(text: str) -> float:
    """
    Seconds that *text* means: a number and one of `ms`, `s`, `m`, `h`, `d`.

    Raises ValueError with a sentence for the author when it means none.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration: write a number of up to nine digits"
            " and its unit, such as 200ms, 5s, 2m, 1h or 30d"
        )
    return float(match[1]) * _MILLISECONDS[match[2]] / 1000


def parse_size(text: str) -> int:
    """
    Bytes that *text* means: a whole number, alone or with `KiB`, `MiB`, `GiB`, `KB`, `MB`, ….

    `KiB` is 1024 bytes, `KB` is 1000. Raises ValueError with a sentence for the author when it
    means none.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a size: write a whole number of up to twelve digits"
            " of bytes, or with a unit, such as 512KiB, 1MiB or 1GiB"
        )
    return int(match[1]) * _BYTES[match[2] or "B"]
