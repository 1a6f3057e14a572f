"""How DBOS knows our work: what every replica, of every version, has to agree on."""

from typing import Final, LiteralString

APPLICATION: Final = "gitops-flow-runner"

QUEUE: Final = "executions"
"""One fast queue for everything: each one more costs every replica a thread and its polls."""

WORKFLOW: Final = "segment"

VERSION: Final = "engine-1"
"""
Constant: DBOS leaves work of other versions alone, and our workflow has no steps of its own whose
order a version could change.
"""

ENQUEUE: Final[LiteralString] = """
select id, dbos.enqueue_workflow(
    'segment', 'executions', array[to_json(id), to_json(segment)],
    workflow_id => case segment when 0 then id else id || '~' || segment end,
    application_name => 'gitops-flow-runner',
    app_version => 'engine-1',
    priority => least(greatest(due, 0), 2147483647)::integer,
    delay_until_epoch_ms => case
        when due > extract(epoch from clock_timestamp()) then ceil(least(due, 1e11) * 1000)::bigint
    end
)
from segments
"""
"""
The end of a statement whose `segments (id, segment, due)` are to be run when they are due; gives
their ids. What is due first is first: a priority is a second, and among those of one second DBOS
takes them as they came.
"""


BACKLOG: Final[LiteralString] = """
select count(*) from (
    select 1 from dbos.workflow_status where queue_name = 'executions' and status = 'ENQUEUED'
    union all
    select 1 from runner.executions where line is not null and needs is not null and not turn
    limit 1000000
) as waiting
"""
"""How much waits for its turn, or for a place in some replica; what sleeps does not."""


def workflow_id(execution: str, segment: int) -> str:
    """Of the workflow that runs *execution* from its start, or from its wait number *segment*."""
    return execution if segment == 0 else f"{execution}~{segment}"


def parse_workflow_id(text: str) -> tuple[str, int]:
    """The same, read: execution and segment."""
    execution, wait, segment = text.rpartition("~")
    return (execution, int(segment)) if wait else (text, 0)
