"""What an operation sends, and what its flow gets of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner import settings
from runner.loader import Loader
from runner.model import Result, Status
from runner.operations import mail
from runner.types import JSONObject, JSONValue
from tests.smtp import HOST, MailServer, Received, mail_server, scripted
from tests.world import World

ANN = "ann@example.com"
MAIL: JSONObject = {"to": ANN, "subject": "S", "body": "b"}


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """A mail server."""
    async with mail_server() as each:
        yield each


class Post:
    """A world that can send mails, and its folder of flows."""

    def __init__(self, folder: Path, place: str, more: str = "") -> None:
        file = folder / "settings.yaml"
        file.write_text(
            f"flows: {folder}\nmail: {{url: 'smtp://{place}', from: Runner <r@example.com>{more}}}"
        )
        self.world = World()
        self.settings = settings.load({}, {}, file, self.world.redactor.learn)
        self.world.loader = Loader(self.world.operations, self.settings)

    async def send(self, trigger_data: JSONValue = None, **options: JSONValue) -> Result:
        """Run one operation."""
        async with self.world.opened(self.settings):
            return await self.world.operate("mail", options, trigger_data)


async def sent(folder: Path, server: MailServer, **options: JSONValue) -> Received:
    """The one mail that arrives."""
    result = await Post(folder, server.place).send(**options)
    assert result == (Status.RESOLVED, None)
    (received,) = server.received
    return received


async def refused(folder: Path, trigger_data: JSONValue = None, **options: JSONValue) -> Any:
    """Why nothing is sent, to nobody."""
    result = await Post(folder, f"{HOST}:1", ", max_recipients: 3").send(trigger_data, **options)
    assert result.status is Status.REJECTED
    assert isinstance(result.value, dict)
    return result.value


# --- what is sent -------------------------------------------------------------------------------


async def test_a_mail_is_markdown_unless_it_says_otherwise(
    tmp_path: Path, server: MailServer
) -> None:
    """As HTML without what may be harmful, and as it is."""
    body = "# Hi\n\n**bold** 3 <script>x</script>"

    received = await sent(tmp_path, server, to=ANN, subject="S 3", body=body)

    assert (received.sender, received.recipients) == ("r@example.com", [ANN])
    assert received.message["From"] == "Runner <r@example.com>"
    assert received.message["To"] == ANN
    assert received.message["Subject"] == "S 3"
    assert received.part("html") == "<h1>Hi</h1>\n<p><strong>bold</strong> 3 </p>\n"
    assert received.part("plain") == f"{body}\n"


async def test_html_is_sanitised(tmp_path: Path, server: MailServer) -> None:
    """What an editor wrote stays; what strangers put into it does not."""
    body = "<p>a</p><script>x</script>"

    received = await sent(tmp_path, server, to=ANN, type="wysiwyg", body=body)

    assert received.part("html") == "<p>a</p>\n"
    assert received.part("plain") == "a\n"
    assert "Subject" not in received.message


async def test_a_template_is_a_file_beside_the_flows(tmp_path: Path, server: MailServer) -> None:
    """Filled with data, which is escaped."""
    (tmp_path / "_mail").mkdir()
    (tmp_path / "_mail/base.html").write_text("<p>{{ name }}</p>")

    received = await sent(tmp_path, server, to=ANN, type="template", data={"name": "<b>"})

    assert received.part("html") == "<p>&lt;b&gt;</p>\n"
    assert received.part("plain") == "<b>\n"


async def test_everybody_who_is_named_gets_it(tmp_path: Path, server: MailServer) -> None:
    """In lists and in texts with commas, with names; hidden ones hidden; once each."""
    received = await sent(
        tmp_path,
        server,
        to=["Ann Lee <ann@example.com>", "bob@example.com, cleo@example.com"],
        cc='"Lee, Dan" <dan@example.com>',
        bcc=["eve@example.com", ANN],
        replyTo="help@example.com",
        fromName="Order desk",
        body="b",
    )

    names = ["ann", "bob", "cleo", "dan", "eve"]
    assert received.recipients == [f"{name}@example.com" for name in names]
    message = received.message
    assert message["To"] == "Ann Lee <ann@example.com>, bob@example.com, cleo@example.com"
    assert message["Cc"] == '"Lee, Dan" <dan@example.com>'
    assert message["Reply-To"] == "help@example.com"
    assert message["From"] == "Order desk <r@example.com>"
    assert b"eve@" not in received.content


async def test_answers_go_where_the_settings_say(tmp_path: Path, server: MailServer) -> None:
    """Unless the mail says otherwise."""
    post = Post(tmp_path, server.place, ", reply_to: help@example.com")

    await post.send(**MAIL)
    await post.send(**MAIL, replyTo=["other@example.com"])

    told = [received.message["Reply-To"] for received in server.received]
    assert told == ["help@example.com", "other@example.com"]


@pytest.mark.parametrize(("value", "text"), [({"a": [1]}, '{"a":[1]}'), (7, "7"), (False, "false")])
async def test_what_is_no_text_is_written_as_json(
    tmp_path: Path, server: MailServer, value: JSONValue, text: str
) -> None:
    """A body may be any value of the data chain."""
    received = await sent(tmp_path, server, to=ANN, body=value)

    assert received.part("plain") == f"{text}\n"


async def test_values_of_the_chain_are_filled_in(tmp_path: Path, server: MailServer) -> None:
    """Lists as lists; a value with the end of a line begins no header."""
    data = {"to": [ANN, "bob@example.com"], "what": "a\r\nBcc: evil@example.com"}

    await Post(tmp_path, server.place).send(
        data, to="{{ $trigger.to }}", subject="S {{ $trigger.what }}", body="b"
    )

    (received,) = server.received
    assert received.recipients == data["to"]
    assert "Bcc" not in received.message
    assert received.message["Subject"] == "S a Bcc: evil@example.com"


async def test_a_retry_sends_the_same_mail(tmp_path: Path, server: MailServer) -> None:
    """Mail programs show it once if it arrived twice; another execution's is another one."""
    post, ids = Post(tmp_path, server.place), []
    text = (
        "name: Retry\ntrigger: operation\noperations:\n"
        f"  - {{type: mail, options: {{to: {ANN}, body: b}}, retry: {{attempts: 2, delay: 1ms}}}}\n"
    )
    await post.world.load(retry=text)
    server.verdict = "451 later"

    async with post.world.opened(post.settings):
        for _ in range(2):
            await post.world.run("retry")
            ids.append([received.message["Message-ID"] for received in server.received])

    assert [len(set(each)) for each in ids] == [1, 2]
    assert len(server.received) == 4


# --- what is not --------------------------------------------------------------------------------

REFUSED: list[tuple[JSONObject, str, str]] = [
    ({"to": []}, "INVALID_OPTIONS", "option to"),
    ({"to": " , "}, "MAIL_NO_RECIPIENT", "no recipient"),
    ({"to": "ann"}, "MAIL_ADDRESS", 'option to: "ann" is no mail address'),
    ({"cc": "a@b@c"}, "MAIL_ADDRESS", "option cc"),
    ({"bcc": ["a@b, c"]}, "MAIL_ADDRESS", "option bcc"),
    ({"replyTo": "<x>"}, "MAIL_ADDRESS", "option replyTo"),
    ({"to": "a@b,b@b", "bcc": "c@b,d@b"}, "MAIL_TOO_MANY_RECIPIENTS", "4 recipients"),
    ({"subject": "s" * 2000}, "MAIL_TOO_LARGE", "one line"),
    ({"body": "b" * 200_000}, "MAIL_TOO_LARGE", "the body"),
    ({"body": None}, "MAIL_NO_BODY", "no body"),
    ({"type": "template", "template": "{{ $trigger.x }}"}, "MAIL_TEMPLATE", "_mail/nope.html"),
    ({"type": "template", "template": "{{ $trigger.x }}", "data": "[]"}, "INVALID_OPTIONS", "data"),
    ({"type": "template", "template": "{{ $trigger.x }}", "data": "{"}, "INVALID_JSON", "data"),
    ({}, "MAIL_CONNECTION", "127.0.0.1:1"),
]


@pytest.mark.parametrize(("options", "code", "says"), REFUSED)
async def test_a_mail_that_cannot_be_sent_rejects(
    tmp_path: Path, options: JSONObject, code: str, says: str
) -> None:
    """Directus resolves, and writes a line into its log."""
    to = {"to": "{{ $trigger.to }}"} if options.get("to") == [] else {}

    error = await refused(tmp_path, {"x": "nope", "to": []}, **{**MAIL, **options, **to})

    assert error["code"] == code
    assert says in error["message"]


async def test_an_operation_has_a_time_of_its_own(tmp_path: Path) -> None:
    """In place of the setting's."""
    text = (
        "name: Slow\ntrigger: operation\noperations:\n"
        f"  - {{type: mail, options: {{to: {ANN}, body: b}}, timeout: 100ms}}\n"
    )
    async with scripted("220 here") as place:
        post = Post(tmp_path, place)
        await post.world.load(slow=text)
        async with post.world.opened(post.settings):
            result = await post.world.run("slow")

    assert isinstance(result.value, dict)
    assert result.value["code"] == "TIMED_OUT"


async def test_no_record_shows_the_password(tmp_path: Path) -> None:
    """Whatever the server makes of it."""
    script = ("220 hi", "250-hi\r\n250 AUTH PLAIN", "535 no, not the-s3cret-one")
    async with scripted(*script) as place:
        post = Post(tmp_path, f"me:the-s3cret-one@{place}")
        result = await post.send(**MAIL)

    assert isinstance(result.value, dict)
    assert result.value["code"] == "MAIL_AUTH"
    assert "s3cret" not in f"{result} {post.world.records}"


# --- what is told when the flow is loaded -------------------------------------------------------


async def issues(post: Post, options: str) -> list[str]:
    """What is said of a flow with one mail, without the place of the file."""
    text = f"name: M\ntrigger: operation\noperations:\n  - type: mail\n    options: {options}\n"
    return [str(issue).removeprefix("m.yaml:") for issue in await post.world.issues(m=text)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("{to: a@b, body: b}", []),
        ("{to: '{{ $trigger.to }}', type: template, template: '{{ $trigger.t }}'}", []),
        ("{to: a@b, type: template, template: welcome}", []),
        ("{to: a@b}", ['5:14: error: operations[0].options needs "body" [missing-key]']),
        (
            "{to: [a@b, nobody], body: b}",
            [
                '5:25: warning: "nobody" is no mail address (write ann@example.com) [bad-address]',
            ],
        ),
        (
            "{to: a@b, type: template, template: welcom}",
            [
                "5:50: error: there is no mail template _mail/welcom.html"
                ' (did you mean "welcome"?) [unknown-template]'
            ],
        ),
        (
            "{to: a@b, type: template}",
            [
                "5:14: error: there is no mail template _mail/base.html"
                " (write the file _mail/base.html into the flows folder) [unknown-template]"
            ],
        ),
        (
            "{to: a@b, type: template, template: broken}",
            [
                "5:50: error: the mail template _mail/broken.html, line 2: "
                "Expected an expression, got 'end of statement block' [bad-template]"
            ],
        ),
    ],
)
async def test_mistakes_in_the_text_are_told_at_once(
    tmp_path: Path, options: str, told: list[str]
) -> None:
    """At their place, with what to do about them."""
    (tmp_path / "_mail").mkdir()
    (tmp_path / "_mail/welcome.html").write_text("hello")
    (tmp_path / "_mail/broken.html").write_text("a\n{% if %}")

    assert await issues(Post(tmp_path, f"{HOST}:1"), options) == told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "the settings lack mail.url and mail.from"),
        ("mail: {from: a@example.com}", "the settings lack mail.url"),
        ("mail: {url: {env: HTTP}, from: a@example.com}", "must be smtps://user:password@host"),
        ("mail: {url: {env: PLAIN}, from: a@example.com}", "set mail.allow_plain"),
        ("mail: {url: {env: PLAIN}, from: a@example.com, allow_plain: true}", ""),
        ("mail: {url: {env: MISSING}, from: a@example.com}", ""),
    ],
)
def test_settings_without_a_mail_server_are_told(tmp_path: Path, text: str, says: str) -> None:
    """A secret may come later; one that is no address of a mail server is none."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    environ = {"HTTP": "http://u:s3cret@mx", "PLAIN": "smtp://u:s3cret@mx"}
    made = settings.load({}, environ, file)

    found = list(mail.attach({"to": ANN, "body": "b"}, made))

    assert [each.code for each in found] == ["no-mail"] * bool(says)
    assert all(says in each.message and "s3cret" not in each.message for each in found)
