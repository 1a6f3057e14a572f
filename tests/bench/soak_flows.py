"""The flows of the soak, and the reloads that they go through."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.bench import flows

SECRET = "soak-secret-soak"

SETTINGS = """
roles: {admin: {admin: true}}
tokens: [{name: soak, role: admin, token: soak-admin-token}]
retention: {count: 2000, bytes: 12MiB}
"""

_WEBHOOK = "trigger: webhook\noptions: {{method: POST, auth: {auth}{more}}}\n"
_OPEN = _WEBHOOK.format(auth="none", more="")
_KNOWN = _WEBHOOK.format(auth="{kind: token, header: X-Soak, secret: SOAK}", more="")
_LATER = _WEBHOOK.format(auth="{kind: token, header: X-Soak, secret: SOAK}", more=", async: true")

CHILD = """name: Priced
trigger: operation
options: {return: $last}
operations:
  - key: line
    type: transform
    options: {json: {sku: "{{ $trigger.sku }}", at: "{{ $trigger.count }}"}}
"""

FAN = f"""name: Every line of an order
{_OPEN}operations:
  - {{key: all, type: trigger, options: {{flow: child, payload: "{{{{ $trigger.body.lines }}}}"}}}}
  - key: serial
    type: trigger
    options: {{flow: child, payload: "{{{{ $trigger.body.lines }}}}", iterationMode: serial}}
"""

#: Retries and a sleep that hold no task, sub-flows one by one, and a script.
LATER = f"""name: Afterwards
{_LATER}operations:
  - key: sent
    type: request
    options: {{url: "URL/flaky"}}
    retry: {{attempts: 8, delay: 1100ms}}
  - {{key: pause, type: sleep, options: {{milliseconds: 2500}}}}
  - key: lines
    type: trigger
    options: {{flow: child, payload: "{{{{ $trigger.body.lines }}}}"}}
  - key: count
    type: exec
    options: {{code: "module.exports = async (data) => data.lines.length"}}
"""

#: Whoever starts it cancels it.
LONG = f"""name: Until it is cancelled
{_LATER}operations:
  - {{key: pause, type: sleep, options: {{milliseconds: 3600000}}}}
"""

SCRIPT = f"""name: A script
{_OPEN}operations:
  - key: sum
    type: exec
    options:
      code: "module.exports = async (data) => data.$trigger.body.lines.length"
"""

#: It comes again and again with the name of its delivery.
NAMED = f"""name: Named
tracking: activity
{_KNOWN}operations:
  - {{key: said, type: transform, options: {{json: "{{{{ $trigger.body }}}}"}}}}
"""

REJECTED = f"""name: Says no
{_OPEN}operations:
  - {{key: no, type: throw-error, options: {{status: 502, code: SOAKED, message: "not today"}}}}
"""

SLOW = f"""name: Takes too long
timeout: 300ms
{_OPEN}operations:
  - {{key: hang, type: request, options: {{url: "URL/hang"}}}}
"""

#: Every caller has a line and a rate of its own.
LIMITED = f"""name: One after the other
concurrency: {{mode: queued, key: "{{{{ $trigger.body.who }}}}"}}
rate_limit: {{starts: 2, per: 1m, key: "{{{{ $trigger.body.who }}}}"}}
tracking: activity
{_OPEN}operations:
  - {{key: said, type: log, options: {{message: "{{{{ $trigger.body.who }}}} is here"}}}}
"""

TICK = """name: Tick
trigger: schedule
options: {cron: "* * * * * *", missed: once}
concurrency: {mode: single}
operations: [{key: said, type: log, options: {message: tick}}]
"""

MANUAL = """name: By hand
trigger: manual
operations:
  - {key: who, type: transform, options: {json: {role: "{{ $accountability.role }}"}}}
"""

TOLD = """name: Told of orders
trigger: event
options: {type: action, scope: [com.example.*]}
operations:
  - {key: order, type: transform, options: {json: {id: "{{ $trigger.payload.id }}"}}}
"""

ASKED = """name: Asked about orders
trigger: event
options: {type: filter, scope: [com.example.order.placed], return: $last}
operations:
  - {key: order, type: transform, options: {json: {id: "{{ $trigger.payload.id }}", seen: true}}}
"""

#: Of every version another one.
CHANGING = f"""name: Version VERSION
{_OPEN}operations:
  - {{key: version, type: transform, options: {{json: {{version: VERSION}}}}}}
"""

PASSING = """name: Only in version VERSION
trigger: schedule
options: {cron: "*/2 * * * * *"}
tracking: activity
operations: [{key: passing, type: transform, options: {json: VERSION}}]
"""


class Repository:
    """Versions of the flows, of which a link names the one in place, as git-sync does it."""

    def __init__(self, folder: Path, sink: str) -> None:
        self._folder = folder
        self._sink = sink
        #: How many were put in place.
        self.versions = 0
        #: What the daemon reads.
        self.link = folder / "flows"

    def publish(self) -> None:
        """Put another version in place: something changed, something came, something went."""
        self.versions += 1
        folder = self._folder / f"version-{self.versions}"
        flows.write(folder, dict(self._texts()))
        following = self._folder / "next"
        following.symlink_to(folder.name)
        following.replace(self.link)
        # The one before may still be being read.
        shutil.rmtree(self._folder / f"version-{self.versions - 2}", ignore_errors=True)

    def _texts(self) -> Iterator[tuple[str, str]]:
        version = str(self.versions)
        for name, text in _LASTING.items():
            yield name, text.replace("URL", self._sink)
        yield "changing", CHANGING.replace("VERSION", version)
        yield f"passing-{version}", PASSING.replace("VERSION", version)
        if self.versions % 3:
            yield "broken", MANUAL if self.versions % 3 == 1 else "name: ["


_LASTING = {
    "one": flows.chain(1, "activity"),
    "ten": flows.chain(10, "all"),
    "child": CHILD,
    "fan": FAN,
    "later": LATER,
    "long": LONG,
    "script": SCRIPT,
    "named": NAMED,
    "rejected": REJECTED,
    "slow": SLOW,
    "limited": LIMITED,
    "tick": TICK,
    "manual": MANUAL,
    "told": TOLD,
    "asked": ASKED,
}
