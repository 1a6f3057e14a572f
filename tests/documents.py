"""Valid flows, and ways to spoil them, for tests that must hold for any document."""

import copy
from typing import Any

from hypothesis import strategies as st

from runner.types import JSONObject, Path

#: Together they use every key of the flow schema and of all operations and triggers.
VALID: tuple[JSONObject, ...] = (
    {
        "name": "Webhook",
        "trigger": "webhook",
        "id": "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d",
        "key": "billing/orders",
        "icon": "bolt",
        "color": "#112233",
        "description": None,
        "status": "active",
        "accountability": "$full",
        "tracking": "none",
        "timeout": "5s",
        "concurrency": {"mode": "parallel", "max": 3},
        "durable": False,
        "labels": {"team": "billing"},
        "date_created": "2026-01-31T12:00:00Z",
        "user_created": "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3e",
        "options": {
            "method": "POST",
            "auth": {"kind": "token", "header": "X-Key", "secret": ["NEW", "OLD"]},
            "async": False,
            "return": "$last",
            "error_on_reject": True,
            "expose_headers": ["authorization"],
            "max_body": "5MiB",
            "allow_ips": ["10.0.0.0/8", "::1"],
            "filter": {"$trigger": {"body": {"action": {"_eq": "opened"}}}},
            "body": {"type": "object", "properties": {"id": {"type": "string"}}},
            "cacheEnabled": True,
            "cacheQueryParams": ["a"],
        },
        "operations": [
            {
                "key": "order",
                "id": "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3f",
                "type": "transform",
                "name": "Order",
                "options": {"json": {"id": "{{ $trigger.body.id }}"}},
                "position": [1, 2],
            },
            {
                "key": "large",
                "type": "condition",
                "options": {"filter": {"order": {"total": {"_gte": 100}}}},
                "resolve": [
                    {"type": "log", "options": {"message": {"n": 1}, "level": "warn"}},
                    {
                        "type": "item-read",
                        "options": {
                            "collection": "articles",
                            "key": [1, "{{ order.id }}"],
                            "query": {"filter": {"id": 1}, "fields": ["*"]},
                            "permissions": "$full",
                            "database": "default",
                            "emitEvents": False,
                        },
                    },
                    {
                        "type": "item-create",
                        "options": {
                            "collection": "articles",
                            "payload": [{"title": "{{ order.id }}"}, "{{ order }}"],
                            "permissions": "$full",
                            "database": "archive",
                            "emitEvents": True,
                        },
                    },
                    {
                        "type": "item-update",
                        "options": {
                            "collection": "articles",
                            "key": ["{{ order.id }}", 2],
                            "payload": '{"views": {{ order.total }}}',
                            "query": None,
                            "permissions": "editor",
                            "database": None,
                            "emitEvents": "{{ order.loud }}",
                        },
                    },
                    {
                        "type": "item-delete",
                        "options": {
                            "collection": "articles",
                            "key": None,
                            "query": {"filter": {"id": "{{ order.id }}"}},
                            "permissions": None,
                            "database": "default",
                            "emitEvents": False,
                        },
                    },
                    {
                        "type": "mail",
                        "options": {
                            "to": ["ann@example.com", "{{ order.email }}"],
                            "cc": "bob@example.com",
                            "bcc": None,
                            "replyTo": ["help@example.com"],
                            "subject": "Order {{ order.id }}",
                            "fromName": "Orders",
                            "type": "template",
                            "body": None,
                            "template": "orders/large",
                            "data": {"order": "{{ order }}"},
                        },
                    },
                    {
                        "type": "notification",
                        "options": {
                            "recipient": ["ops"],
                            "subject": "Order {{ order.id }}",
                            "message": {"order": "{{ order }}"},
                            "permissions": "$full",
                            "collection": "orders",
                            "item": "{{ order.id }}",
                        },
                    },
                    {
                        "type": "request",
                        "options": {
                            "method": "POST",
                            "url": "http://warehouse/{{ order.id }}",
                            "headers": [{"header": "X-A", "value": 1}],
                            "body": {"id": "{{ order.id }}"},
                            "idempotency_key": True,
                            "max_response": "64KiB",
                        },
                    },
                    {
                        "type": "sleep",
                        "options": {"milliseconds": "{{ $trigger.ms }}"},
                        "timeout": "200ms",
                        "retry": {
                            "attempts": 4,
                            "delay": "1s",
                            "backoff": "exponential",
                            "max_delay": "10s",
                            "jitter": 0.5,
                        },
                    },
                ],
                "reject": [{"type": "throw-error", "options": {"status": 502, "code": "X"}}],
            },
        ],
        "reject": [{"key": "alarm", "type": "log", "options": {"message": "oh"}, "resolve": None}],
    },
    {
        "name": "Manual",
        "trigger": "manual",
        "options": {
            "collections": ["articles"],
            "requireSelection": False,
            "fields": [
                {
                    "field": "days",
                    "type": "integer",
                    "name": "Days",
                    "required": True,
                    "default": 30,
                    "choices": [10, 30],
                    "note": None,
                    "meta": {"required": True},
                }
            ],
            "async": True,
            "error_on_reject": False,
            "location": "both",
            "requireConfirmation": True,
            "confirmationDescription": "sure?",
        },
        "operations": [
            {
                "key": "each",
                "type": "trigger",
                "options": {
                    "flow": "{{ $trigger.body.flow }}",
                    "payload": [1, 2],
                    "iterationMode": "batch",
                    "batchSize": 5,
                },
                "reject": "end",
                "resolve": "end",
            },
            {"key": "end", "type": "throw-error"},
        ],
    },
    {
        "name": "Event",
        "trigger": "event",
        "options": {
            "type": "filter",
            "scope": ["items.create", "com.example.*"],
            "collections": ["articles"],
            "return": "$last",
            "filters": [
                {"exact": {"source": "/shop"}},
                {"any": [{"prefix": {"subject": "a"}}, {"not": {"suffix": {"subject": "b"}}}]},
                {"all": [{"exact": {"type": "a"}}]},
            ],
            "filter": {"$trigger": {"payload": {"total": {"_gte": 100}}}},
        },
    },
    {
        "name": "Schedule",
        "trigger": "schedule",
        "options": {
            "cron": ["30 2 * * *", "@hourly"],
            "timezone": "Europe/Berlin",
            "missed": "once",
            "within": "2h",
            "jitter": "30s",
            "scope": "pod",
        },
    },
    {"name": "Tick", "trigger": "schedule", "options": {"cron": "* * * * *"}},
    {"name": "Bare", "trigger": "operation", "options": {"return": "$all"}},
    {"name": "Open", "trigger": "webhook", "options": {"auth": "none"}, "operations": None},
    {
        "name": "Signed",
        "trigger": "webhook",
        "options": {
            "auth": [
                {"kind": "basic", "username": "ann", "secret": "A"},
                {"kind": "slack", "secret": "B", "tolerance": "1m"},
                {
                    "kind": "hmac",
                    "header": "X-Sign",
                    "algorithm": "sha512",
                    "encoding": "base64",
                    "prefix": "v1=",
                    "signed": "{timestamp}:{body}",
                    "timestamp": {"param": "t"},
                    "tolerance": "10s",
                    "secret": ["C", "D"],
                },
                {"kind": "hmac", "header": "X-S", "timestamp": {"header": "X-T"}, "secret": "E"},
            ],
            "response": {
                "status": 201,
                "headers": {"Location": "/orders/{{ $trigger.body.id }}", "X-N": 1, "X-M": None},
                "body": {"id": "{{ $trigger.body.id }}"},
            },
        },
    },
)

#: What is put where something else is expected: of every type, and near misses.
BAITS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            None, True, False, 0, 1, -1, 1.5, 2.0, 10**12, "", "x", "a.b", "$x", "5s", "5s\n", "5",
            "none", "bearer", "active", "webhook", "manual", "operation", "order", "single",
            "{{ order }}", "{{ x", "404", "\x1f", "\xa0",
            "12.5", "9" * 20, "{{{{", [], {}, [[]], [None], ["a"],
            {"a": 1}, {"type": "log"}, [{"type": "log", "options": {"message": "m"}}],
            {"kind": "bearer", "secret": "S"}, {"_eq": 1},
            "5A1A2C6E-9A53-4C58-8D5C-0D6F6A1C2B3D", "5a1a2c6e-9a53-4c58-8d5c-0d6f6a1c2b3d\n",
        ]
    ),
    st.text(max_size=5),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip


def paths(value: Any, at: Path = ()) -> list[Path]:
    """Where everything stands, the whole included."""
    found: list[Path] = [at]
    if isinstance(value, dict):
        for key, each in value.items():
            found += paths(each, (*at, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += paths(each, (*at, index))
    return found


def replaced(data: JSONObject, at: Path, bait: Any, how: str) -> JSONObject:
    """*data* with *bait* put in place of what is at *at*, or added to it, or with that removed."""
    bait = copy.deepcopy(bait)
    if not at:
        return data if how == "drop" else {**data, "name" if how == "put" else "extra": bait}
    container: Any = data
    for step in at[:-1]:
        container = container[step]
    here = container[at[-1]]
    if how == "drop":
        del container[at[-1]]
    elif how == "add" and isinstance(here, dict):
        here["key" if isinstance(bait, str) else "extra"] = bait
    elif how == "add" and isinstance(here, list):
        here.append(bait)
    else:
        container[at[-1]] = bait
    return data
