"""
What stands in for Directus' own routes, which this project has not: the same events, caused here.

Items are written by flows that do nothing else, a login is told as a CloudEvent.
"""

from typing import Final

from runner.types import JSONObject

FLOWS: Final = {
    "cause__create": """
name: Create an item
trigger: webhook
options: {method: POST, auth: none}
operations:
  - key: created
    type: item-create
    options:
      {collection: articles, payload: "{{ $trigger.body }}", permissions: $full, emitEvents: true}
""",
    "cause__delete": """
name: Delete an item
trigger: webhook
options: {method: DELETE, auth: none}
operations:
  - key: deleted
    type: item-delete
    options:
      {collection: articles, key: "{{ $trigger.query.key }}", permissions: $full, emitEvents: true}
""",
}


def caused(request: JSONObject) -> JSONObject:
    """The request that causes here what *request* caused in Directus."""
    method, rest = request["method"], request["path"].removeprefix("/items/articles")
    if request["path"] == "/auth/login":
        return {**request, "path": "/events", **_login(request["body"])}
    if method == "DELETE":
        query = f"key={rest.removeprefix('/')}"
        return {**request, "path": "/flows/trigger/cause/delete", "query": query}
    assert method == "POST", request
    return {**request, "path": "/flows/trigger/cause/create"}


def _login(payload: JSONObject) -> JSONObject:
    """A successful one, as Directus tells it."""
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/directus",
        "type": "auth.login",
        "status": "success",
        "user": "00000000-0000-4000-a000-0000000000e2",
        "provider": "default",
        "data": payload,
    }
    headers = {
        "authorization": "Bearer admin-static-token",
        "content-type": "application/cloudevents+json",
    }
    return {"body": event, "headers": headers}
