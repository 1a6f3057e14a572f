"""The flows of the chaos: every operation asks the sink, which sees in what order that happens."""

from runner.ids import NAMESPACE, derived_id
from tests.chaos.seen import Step, Steps

CHILDREN = 3

#: What the environment of a process calls it.
PROCESS = "CHAOS_PROCESS"

#: What a delivery says to be let in.
SECRET = "let-chaos-in"

_ASK = """
  - key: KEY
    type: request
    options:
      method: POST
      url: "URL/effects"
      body:
        process: "{{ $env.PROCESS }}"
        execution: "{{ EXECUTION }}"
        step: "STEP"
        attempt: "{{ $execution.attempt }}"
        own: "{{ $execution.id }}"\
"""

_DELIVERED = """
name: What a delivery starts
trigger: webhook
tracking: activity
options: {method: POST, async: true, auth: {kind: bearer, secret: CHAOS}}
operations:ASK-first
  - {key: nap, type: sleep, options: {milliseconds: 1200}}ASK-stubborn
    retry: {attempts: 5, delay: 1100ms}
  - key: children
    type: trigger
    options:
      flow: child
      payload: [PAYLOAD]ASK-last
"""

_CHILD = """
name: What it starts, for each element of a list
trigger: operation
tracking: activity
operations:ASK-one ASK-two
"""

_TICK = """
name: Every second
trigger: schedule
tracking: activity
options: {cron: "* * * * * *", missed: all}
operations:ASK-tick
"""


def files(url: str) -> dict[str, str]:
    """The texts of the flows by key; *url* is where the sink listens."""
    payload = ", ".join(f'{{of: "{{{{ $execution.id }}}}", n: {n}}}' for n in range(CHILDREN))
    delivered = _DELIVERED.replace("PAYLOAD", payload)
    for key in ("first", "stubborn", "last"):
        delivered = delivered.replace(f"ASK-{key}", _ask(url, key))
    child = _CHILD
    for key in ("one", "two"):
        step = f"child/{{{{ $trigger.n }}}}/{key}"
        child = child.replace(f"ASK-{key}", _ask(url, key, "$trigger.of", step))
    tick = _TICK.replace("ASK-tick", _ask(url, "tick"))
    return {"delivered": delivered, "child": child, "tick": tick}


def _ask(url: str, key: str, execution: str = "$execution.id", step: str | None = None) -> str:
    text = _ASK.replace("KEY", key).replace("URL", url).replace("$env.PROCESS", f"$env.{PROCESS}")
    return text.replace("EXECUTION", execution).replace("STEP", step or key)


def _steps(*each: Step) -> Steps:
    return {step.name: step for step in each}


#: What an execution of `delivered` does; the sink refuses the first try of `stubborn`.
DELIVERY = _steps(
    Step("first@1", 0),
    Step("stubborn@1", 1),
    Step("stubborn@2", 2),
    *(Step(f"child/{n}/one@1", 3, n) for n in range(CHILDREN)),
    *(Step(f"child/{n}/two@1", 4, n) for n in range(CHILDREN)),
    Step("last@1", 5),
)
REFUSED = "stubborn@1"

#: What an execution of `tick` does.
TICK = _steps(Step("tick@1", 0))
TICK_FLOW = derived_id(NAMESPACE, "tick")
