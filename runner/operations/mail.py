"""Send a mail."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from runner import addresses, jsontext, schema, template
from runner.addresses import Mailbox
from runner.channels import MailSettings
from runner.errors import OperationError
from runner.ids import NAMESPACE, derived_id
from runner.mails import bodies, templates
from runner.mails.bodies import Body
from runner.mails.message import Envelope, Mail, compose
from runner.mails.sending import MAILER, MailError
from runner.mails.templates import FOLDER, TemplateMissing, TemplateMistake
from runner.operations.base import (
    Extra,
    Finding,
    OperationContext,
    OperationSpec,
    Prepared,
    read_json,
)
from runner.secrets import SecretMissing
from runner.settings import Settings
from runner.types import JSONObject, JSONValue

_ADDRESSES: Final = ("to", "cc", "bcc", "replyTo")
_BASE: Final = "base"
#: Of a subject: two lines of the longest that mail may have.
_MAX_SUBJECT: Final = 2 * 998


# --- when the flow is loaded --------------------------------------------------------------------


def prepare(options: JSONObject) -> Prepared:
    """Warn of addresses in the text that are none."""
    return Prepared(mail, warnings=tuple(_bad_addresses(options)))


def _bad_addresses(options: JSONObject) -> Iterator[Finding]:
    for option in _ADDRESSES:
        value = options.get(option)
        for index, each in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(each, str) or template.has_template(each):
                continue
            try:
                addresses.parse_list(each)
            except ValueError as error:
                at = (option, index) if isinstance(value, list) else (option,)
                yield Finding("bad-address", str(error), at, "write ann@example.com")


def attach(options: JSONObject, settings: Settings) -> Iterator[Finding]:
    """Without a server there is no mail, and without its file no template."""
    if problem := _problem(settings.mail):
        yield Finding("no-mail", problem, (), "see `mail` in the settings")
    name = options.get("template") or _BASE
    if options.get("type") != "template" or template.has_template(name):
        return
    try:
        templates.check(settings.flows, name)
    except TemplateMissing as error:
        near = schema.nearest(name, templates.names(settings.flows), prefix="")
        hint = near or f"write the file {FOLDER}/{name}.html into the flows folder"
        yield Finding("unknown-template", str(error), ("template",), hint)
    except TemplateMistake as error:
        yield Finding("bad-template", str(error), ("template",))


def _problem(settings: MailSettings) -> str | None:
    """Why no mail can be sent."""
    if settings.missing:
        return f"the settings lack {' and '.join(settings.missing)}"
    try:
        settings.server()
    except SecretMissing:
        return None  # it is read when it is used, and may come later than flows
    except ValueError as error:
        return str(error)
    return None


# --- when it runs -------------------------------------------------------------------------------


async def mail(options: JSONObject, context: OperationContext) -> None:
    """
    Resolve with null when the mail server has taken the mail for every recipient.

    Every try of one operation in one execution sends the same Message-ID. Raises MailError.
    """
    mailer, execution = context.resources[MAILER], context.execution
    envelope = await asyncio.to_thread(
        _envelope, options, mailer.settings, mailer.flows, execution.idempotency_key
    )
    # Where the operation has a time of its own, whoever runs it sees to that.
    await mailer.send(envelope, limited=execution.timeout is None)


def _envelope(options: JSONObject, settings: MailSettings, flows: Path, key: str) -> Envelope:
    to, cc, bcc, reply_to = (_mailboxes(option, options.get(option)) for option in _ADDRESSES)
    count = len(to) + len(cc) + len(bcc)
    if count == 0:
        raise MailError("the mail has no recipient", "MAIL_NO_RECIPIENT")
    if count > settings.max_recipients:
        message = f"{count} recipients are more than the {settings.max_recipients} of the settings"
        raise MailError(message, "MAIL_TOO_MANY_RECIPIENTS")
    assert settings.sender is not None  # noqa: S101 - `attach` has seen to it
    name = _text(options.get("fromName"))
    made = Mail(
        sender=settings.sender if not name else settings.sender._replace(name=name),
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=reply_to or tuple(filter(None, [settings.reply_to])),
        subject=_text(options.get("subject")),
        body=_body(options, flows),
        id=derived_id(NAMESPACE, key),
    )
    return compose(made, datetime.now(UTC))


def _mailboxes(option: str, value: JSONValue) -> tuple[Mailbox, ...]:
    """All addresses of an option: text with commas, or a list of such."""
    texts = [] if value is None else value if isinstance(value, list) else [value]
    try:
        return tuple(each for text in texts for each in addresses.parse_list(str(text)))
    except ValueError as error:
        raise MailError(f"option {option}: {error}", "MAIL_ADDRESS") from None


def _text(value: JSONValue) -> str | None:
    if value is None:
        return None
    text = jsontext.as_text(value)
    if len(text) > _MAX_SUBJECT:
        raise MailError(f"more than {_MAX_SUBJECT} characters for one line", "MAIL_TOO_LARGE")
    return text


def _body(options: JSONObject, flows: Path) -> Body:
    try:
        if options.get("type") == "template":
            return templates.render(flows, options.get("template") or _BASE, _data(options))
        body = options.get("body")
        if body is None:
            raise MailError("the mail has no body", "MAIL_NO_BODY")
        read = bodies.from_html if options.get("type") == "wysiwyg" else bodies.from_markdown
        return read(jsontext.as_text(body))
    except TemplateMistake as error:
        raise MailError(str(error), "MAIL_TEMPLATE") from None
    except ValueError as error:
        raise MailError(str(error), "MAIL_TOO_LARGE") from None


def _data(options: JSONObject) -> JSONObject:
    given = options.get("data")
    data = read_json("data", given) if isinstance(given, str) and given else given
    if data is None or data == "":
        return {}
    if isinstance(data, dict):
        return data
    raise OperationError("option data has to be an object", code="INVALID_OPTIONS")


OPERATION = OperationSpec(
    type="mail",
    prepare=prepare,
    attach=attach,
    resources=(MAILER,),
    extra=Extra("mail", ("aiosmtplib", "jinja2", "markdown_it", "nh3")),
)
