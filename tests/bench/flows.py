"""Flow files that the benchmarks make."""

from pathlib import Path

_HEAD = """name: {name}
trigger: webhook
tracking: {tracking}
options: {{method: POST, auth: none, async: {asynchronous}}}
operations:
"""

_TRANSFORM = """  - key: t{number}
    type: transform
    options:
      json:
        id: "{{{{ {source}.id }}}}"
        total: "{{{{ {source}.total }}}}"
        note: "order {{{{ {source}.id }}}}"
"""


def chain(operations: int, tracking: str, *, asynchronous: bool = False) -> str:
    """A webhook flow of transforms, each of which reads what the one before it made."""
    text = _HEAD.format(
        name=f"Chain of {operations}", tracking=tracking, asynchronous=str(asynchronous).lower()
    )
    for number in range(operations):
        source = f"t{number - 1}" if number else "$trigger.body"
        text += _TRANSFORM.format(number=number, source=source)
    return text


def write(folder: Path, flows: dict[str, str]) -> Path:
    """Write *flows* by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in flows.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def realistic(number: int) -> str:
    """One of many files of the usual size and variety: 6 operations, 62 lines."""
    return f"""name: Flow {number}
description: Checks order number {number} and tells the warehouse.
icon: bolt
color: "#112233"
trigger: webhook
options:
  method: POST
  auth: {{kind: bearer, secret: ORDERS_SECRET}}
tracking: activity
timeout: 30s
labels:
  team: team-{number % 17}
  tier: gold
operations:
  - key: order
    name: What was sent
    type: transform
    options:
      json:
        id: "{{{{ $trigger.body.id }}}}"
        total: "{{{{ $trigger.body.total }}}}"
        customer:
          name: "{{{{ $trigger.body.customer.name }}}}"
          mail: "{{{{ $trigger.body.customer.mail }}}}"
        note: "order {{{{ $trigger.body.id }}}} of flow {number}"
  - key: large
    name: Is it worth a phone call?
    type: condition
    options:
      filter:
        _and:
          - order:
              total: {{_gte: {100 + number % 50}}}
          - order:
              customer:
                mail: {{_contains: "@"}}
    reject:
      - key: small
        type: log
        options:
          level: info
          message: "small order {{{{ order.id }}}}"
      - key: small_answer
        type: transform
        options:
          json: {{stored: false, reason: small}}
  - key: wait
    type: sleep
    options:
      milliseconds: 1
    timeout: 5s
    retry: {{attempts: 4, delay: 200ms, backoff: exponential, max_delay: 10s}}
  - key: done
    type: transform
    options:
      json:
        stored: true
        id: "{{{{ order.id }}}}"
reject:
  - key: tell
    type: throw-error
    options:
      status: 502
      code: WAREHOUSE_DOWN
      message: "{{{{ $error.operation }}}}: try again later"
"""
