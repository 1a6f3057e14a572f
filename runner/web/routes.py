"""The one table of routes: the router is made of it, and so is the description of it."""

from dataclasses import replace
from typing import Final

from runner.errors import (
    Conflict,
    FlowNotFound,
    Forbidden,
    InvalidQuery,
    MethodNotAllowed,
    RequestsExceeded,
    RouteNotFound,
    RunnerError,
)
from runner.query.model import Collection
from runner.types import JSONObject
from runner.web import (
    events,
    executions,
    flows,
    graphql,
    health,
    notifications,
    shapes,
    source,
    specs,
    starting,
    trigger,
)
from runner.web.contract import TOKEN, Answer, Content, Parameter, Promise, Refusal, Route, refusal
from runner.web.keys import Handler
from runner.web.listing import EXECUTIONS, FLOWS, NOTIFICATIONS, OPERATIONS
from runner.web.shapes import JSON, OBJECT, TEXT, members, or_null

# --- listings -----------------------------------------------------------------------------------

#: What `export` may ask for instead of JSON.
_FILES: Final[Content] = {"text/csv": {}, "text/xml": {}, "text/yaml": {}}

_TAG: Final = {"ETag": "The same for as long as the answer is."}
_READ_FLOWS: Final = ("flows", "read")


def _listing(name: str, collection: Collection, id_: str) -> tuple[Route, ...]:
    """Where Directus' clients list a collection, and look at one record of it."""
    path = f"/{name}"
    asked, which = shapes.question(collection), shapes.fields(collection)
    records: Content = {JSON: shapes.rows(collection), **_FILES}
    invalid = refusal(InvalidQuery)
    listing = Promise(
        summary=f"List the {name}",
        needs=_READ_FLOWS,
        security=TOKEN,
        parameters=asked,
        answers={
            "200": Answer("The records.", records, _TAG),
            "304": Answer("It is as the If-None-Match of the request says."),
        },
        refusals=(invalid,),
    )
    search = Promise(
        summary=f"List the {name}, with the question in the body",
        needs=_READ_FLOWS,
        security=TOKEN,
        body={JSON: shapes.as_body(asked)},
        answers={"200": Answer("The records.", records)},
        refusals=(invalid,),
    )
    single = Promise(
        summary=f"Show one of the {name}",
        needs=_READ_FLOWS,
        security=TOKEN,
        parameters=(Parameter("name", id_, {**TEXT, "pattern": "[^/]"}, in_path=True), *which),
        answers={"200": Answer("The record.", {JSON: shapes.row(collection), **_FILES})},
        refusals=(invalid, refusal(FlowNotFound)),
    )
    return (
        Route("GET", path, flows.listing(collection), listing),
        Route("SEARCH", path, flows.listing(collection), search),
        Route("*", path, flows.read_only),
        Route("GET", f"{path}/{{name:.*}}", flows.single(collection), single),
        Route("*", f"{path}/{{name:.*}}", flows.read_only),
    )


def _notifications(path: str) -> tuple[Route, ...]:
    asked, handler = shapes.question(NOTIFICATIONS), notifications.listing
    answers = {"200": Answer("The records.", {JSON: shapes.rows(NOTIFICATIONS), **_FILES})}
    refusals = (refusal(InvalidQuery), refusal(Forbidden))
    listing = Promise(
        summary="List what the caller has been told",
        description="For callers that are users.",
        security=TOKEN,
        parameters=asked,
        answers=answers,
        refusals=refusals,
    )
    search = replace(listing, parameters=(), body={JSON: shapes.as_body(asked)})
    return (
        Route("GET", path, handler, listing),
        Route("SEARCH", path, handler, search),
        Route("*", path, notifications.read_only),
    )


# --- GraphQL ------------------------------------------------------------------------------------

#: The library that says it is loaded only when somebody asks.
_NOT_GRAPHQL: Final = Refusal(400, "GRAPHQL_VALIDATION", "GraphQL validation error.")

_ASKED: Final = {
    "query": {**TEXT, "examples": ["{ __typename }"]},
    "operationName": or_null(TEXT),
    "variables": or_null(OBJECT),
}
_IN_URL: Final = (
    Parameter("query", "The document.", _ASKED["query"], required=True),
    Parameter("operationName", "Which of its operations to run.", TEXT),
    Parameter("variables", "Values for its variables.", _ASKED["variables"], json=True),
)


def _graphql(path: str, handler: Handler, summary: str) -> tuple[Route, ...]:
    answers = {"200": Answer("What the document asks for.", {JSON: shapes.GRAPHQL})}
    refusals = (_NOT_GRAPHQL, refusal(MethodNotAllowed))
    body = {JSON: members(["query"], **_ASKED)}
    get = Promise(summary=summary, parameters=_IN_URL, answers=answers, refusals=refusals)
    post = Promise(summary=summary, body=body, answers=answers, refusals=refusals)
    return (
        Route("GET", path, handler, get),
        Route("POST", path, handler, post),
        Route("*", path, handler),
    )


# --- all else -----------------------------------------------------------------------------------


def _data(description: str, schema: JSONObject) -> dict[str, Answer]:
    return {"200": Answer(description, {JSON: members(data=schema)})}


_ID: Final = (Parameter("id", "The id of an execution.", TEXT, in_path=True),)


def _executions(path: str) -> tuple[Route, ...]:
    read, unknown = ("executions", "read"), refusal(RouteNotFound)
    standing = members(id=TEXT, status=TEXT)
    asked: Content = {JSON: shapes.rows(EXECUTIONS), **_FILES}
    listing = Promise(
        summary="List executions",
        description=(
            "Those that are under way or remembered. One question is about the newest 100,000 at"
            " most; where there are more, `meta.newest` says that. Direct ones that still run are"
            " listed where they run; what other flows start inside of them, when it has ended."
        ),
        needs=read,
        security=TOKEN,
        parameters=shapes.question(EXECUTIONS),
        answers={"200": Answer("The records.", asked)},
        refusals=(refusal(InvalidQuery),),
    )
    one = Promise(
        summary="Say how an execution does, or how it ended",
        needs=read,
        security=TOKEN,
        parameters=_ID,
        answers=_data("It, and its records.", shapes.EXECUTION),
        refusals=(unknown,),
    )
    stream = Promise(
        summary="Tell the records of executions as they come",
        description=(
            "Server-sent events, each a record, from now on: nothing is repeated, so who was away"
            " asks for the executions. A reader that is too slow misses some, and is told how many"
            " by an event `log.suppressed`; one that takes nothing for 30 s is left. A comment"
            " comes every second in which nothing happens. It ends when the runner stops."
        ),
        needs=read,
        security=TOKEN,
        answers={"200": Answer("Events.", {"text/event-stream": TEXT})},
    )
    cancel = Promise(
        summary="End an execution that is under way",
        description=(
            "One that waits has ended when this is answered. One that runs, here or in another"
            " replica, ends within a second or so, as soon as its operation lets go; a caller that"
            " waits for it is answered 409 CANCELLED. Direct executions can be cancelled where"
            " they run."
        ),
        needs=("executions", "cancel"),
        security=TOKEN,
        parameters=_ID,
        answers={
            "200": Answer("It has ended.", {JSON: members(data=standing)}),
            "202": Answer(
                "It runs, and is about to end.",
                {JSON: members(data=standing)},
                {"Location": "Where to ask how it does."},
            ),
        },
        refusals=(unknown, refusal(executions.NotCancelled)),
    )
    replay = Promise(
        summary="Run an execution again",
        description=(
            "With what started it, the flow as it is now, and the permissions of whoever caused it"
            " then, whatever the caller's own: `execution.started` says who asked for it, as"
            " `data.replay`. One that is under way can run again too, where it runs or its first"
            " record is known: that takes a second."
        ),
        needs=("executions", "replay"),
        security=TOKEN,
        parameters=_ID,
        answers={"202": starting.ACCEPTED},
        refusals=(
            unknown,
            refusal(Conflict),
            refusal(RequestsExceeded),
            refusal(executions.NotReplayable),
        ),
    )
    search = replace(listing, parameters=(), body={JSON: shapes.as_body(listing.parameters)})
    return (
        Route("GET", path, executions.listing, listing),
        Route("SEARCH", path, executions.listing, search),
        Route("GET", f"{path}/stream", executions.stream, stream),
        Route("GET", f"{path}/{{id}}", executions.one, one),
        Route("POST", f"{path}/{{id}}/cancel", executions.cancel, cancel),
        Route("POST", f"{path}/{{id}}/replay", executions.replay, replay),
    )


_SOURCE: Final = Promise(
    summary="Say what is loaded, from where, since when, and what is wrong with it",
    needs=("source", "read"),
    security=TOKEN,
    answers=_data("The state of the folder.", shapes.SOURCE),
)
_RELOAD: Final = Promise(
    summary="Load now",
    description="It is answered when that is done.",
    needs=("source", "reload"),
    security=TOKEN,
    parameters=(Parameter("allow_empty", "The last flow may go.", {"type": "boolean"}),),
    answers=_data("What was found is in place.", shapes.SOURCE),
    refusals=(
        refusal(InvalidQuery),
        Refusal(409, "REFUSED", "What was found is not put in place."),
        refusal(RunnerError),
    ),
)


_TEXT: Final[Content] = {"text/plain": TEXT}
_LIVEZ: Final = Promise(
    summary="Say whether the process answers", security=(), answers={"200": Answer("`ok`.", _TEXT)}
)
_READYZ: Final = Promise(
    summary="Say whether flows are loaded and nothing is draining",
    security=(),
    parameters=(Parameter("verbose", "Say it of each.", TEXT),),
    answers={"200": Answer("`ok`.", _TEXT), "503": Answer("`not ready`.", _TEXT)},
)
_PING: Final = Promise(summary="Say `pong`", security=(), answers={"200": Answer("`pong`.", _TEXT)})
_INFO: Final = Promise(
    summary="Say what this is",
    description="Callers that are known are told more.",
    answers=_data("Of what Directus says, what there is here.", shapes.INFO),
)
_OAS: Final = Promise(
    summary="Describe all routes",
    description="With the flows, for those who may read them.",
    answers={"200": Answer("An OpenAPI description.", {JSON: OBJECT})},
)


ROUTES: Final = (
    *(
        Route(method, "/flows/trigger/{name:.+}", trigger.trigger, starting.any_flow(method))
        for method in starting.METHODS
    ),
    Route("*", "/flows/trigger/{name:.+}", trigger.trigger),
    Route("POST", "/events", events.send, events.PROMISE),
    *_listing("flows", FLOWS, "The UUID or the key of a flow."),
    *_listing("operations", OPERATIONS, "The UUID of an operation."),
    *_graphql("/graphql/system", graphql.system, "Ask for flows and operations"),
    *_graphql("/graphql", graphql.items, "Ask for items: there are none"),
    *_executions("/executions"),
    *_notifications("/notifications"),
    Route("GET", "/source", source.show, _SOURCE),
    Route("POST", "/reload", source.reload, _RELOAD),
    Route("GET", "/livez", health.livez, _LIVEZ),
    Route("GET", "/readyz", health.readyz, _READYZ),
    Route("GET", "/server/ping", health.ping, _PING),
    Route("GET", "/server/info", specs.info, _INFO),
    Route("GET", "/server/specs/oas", specs.oas, _OAS),
)
