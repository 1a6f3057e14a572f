"""Tell somebody something: in the inbox of a user, and through the services of a recipient."""

from collections.abc import Iterable, Iterator
from typing import Final

from runner import jsontext, permissions, schema, template
from runner.channels import Recipient
from runner.errors import OperationError
from runner.ids import is_uuid
from runner.inbox import INBOX, Notification
from runner.operations.base import Extra, Finding, OperationContext, OperationSpec
from runner.services import SERVICES
from runner.settings import Settings
from runner.types import JSONObject, JSONValue, Path

COLLECTION: Final = "directus_notifications"
"""In which a role has to have `create`."""

_APPRISE: Final = Extra("notify", ("apprise",))
_MAX_RECIPIENTS: Final = 100
_MAX_MESSAGE: Final = 1 << 16


# --- when the flow is loaded --------------------------------------------------------------------


def attach(options: JSONObject, settings: Settings) -> Iterator[Finding]:
    """Whom the text names has to be known, and so has the role."""
    for at, name in _literals(options.get("recipient")):
        if _recipient(name, settings) is None:
            near = schema.nearest(name, settings.recipients, prefix="")
            hint = near or f"the settings have {', '.join(settings.recipients) or 'no recipients'}"
            message = f'"{name}" is no recipient of the settings and no user of theirs'
            yield Finding("unknown-recipient", message, ("recipient", *at), hint)
    asked = options.get("permissions") or permissions.TRIGGER
    problem = None if template.has_template(asked) else permissions.problem(asked, settings)
    if problem is not None:
        yield Finding("unknown-role", problem[0], ("permissions",), problem[1])
    if _APPRISE.missing and any(each.read_urls for each in settings.recipients.values()):
        message = "recipients with urls need a library that is not installed"
        hint = f"install gitops-flow-runner[{_APPRISE.name}]"
        yield Finding("missing-extra", message, ("recipient",), hint)


def _literals(value: JSONValue) -> Iterator[tuple[Path, str]]:
    """The names in an option that are not worked out by templates, and where."""
    for index, each in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(each, str) and not template.has_template(each):
            at = (index,) if isinstance(value, list) else ()
            yield from ((at, name) for name in _names(each))


# --- when it runs -------------------------------------------------------------------------------


async def notification(options: JSONObject, context: OperationContext) -> list[int]:
    """
    Resolve with the ids of the notifications, one for each user.

    Every try of one operation in one execution makes the same ones; services are told again.
    Raises OperationError, and ServiceError after the users have their notification.
    """
    services, execution = context.resources[SERVICES], context.execution
    settings = services.settings
    asked = options.get("permissions") or context.permissions
    who = permissions.role(asked, context.accountability, settings)
    permissions.require(who, COLLECTION, "create")
    acting = context.accountability if asked == permissions.TRIGGER else None
    told = _recipients(options["recipient"], settings)
    subject, message = jsontext.as_text(options["subject"]), _message(options.get("message"))
    made = [
        Notification(
            recipient=user,
            sender=acting and acting.user,
            subject=subject,
            message=message,
            collection=options.get("collection"),
            item=_text(options.get("item")),
            key=f"{execution.idempotency_key}/{user}",
        )
        for user in dict.fromkeys(each.user for each in told)
        if user is not None
    ]
    ids = await context.resources[INBOX].add(made) if made else []
    limited = execution.timeout is None
    await services.tell(told, subject, message or "", limited=limited)
    return ids


def _recipients(value: JSONValue, settings: Settings) -> list[Recipient]:
    """Raises OperationError for somebody who is not known."""
    texts: Iterable[JSONValue] = value if isinstance(value, list) else [value]
    names = dict.fromkeys(name for text in texts for name in _names(str(text)))
    if not names or len(names) > _MAX_RECIPIENTS:
        message = f"a notification has 1 to {_MAX_RECIPIENTS} recipients, not {len(names)}"
        raise OperationError(message, code="INVALID_RECIPIENT")
    found = {name: _recipient(name, settings) for name in names}
    for name, each in found.items():
        if each is None:
            message = f'"{name[:100]}" is no recipient of the settings and no user of theirs'
            raise OperationError(message, code="INVALID_RECIPIENT")
    return [each for each in found.values() if each is not None]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _recipient(name: str, settings: Settings) -> Recipient | None:
    if name in settings.recipients:
        return settings.recipients[name]
    if is_uuid(name) and name.lower() in settings.users:
        return Recipient(name=name, user=name.lower(), read_urls=())
    return None


def _message(value: JSONValue) -> str | None:
    text = _text(value)
    if text is not None and len(text) > _MAX_MESSAGE:
        message = f"the message has more than {_MAX_MESSAGE} characters"
        raise OperationError(message, code="NOTIFICATION_TOO_LARGE")
    return text


def _text(value: JSONValue) -> str | None:
    return None if value is None else jsontext.as_text(value)


OPERATION = OperationSpec(
    type="notification",
    handler=notification,
    attach=attach,
    resources=(INBOX, SERVICES),
)
