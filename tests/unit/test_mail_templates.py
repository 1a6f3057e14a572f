"""Templates of mails: files beside the flows, and nothing else."""

import os
from pathlib import Path

import pytest

from runner.mails import templates
from runner.mails.templates import MAX_RESULT, TemplateMissing, TemplateMistake, check, render


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """A folder of flows with some templates."""
    folder = tmp_path / "flows"
    write(folder, "base.html", "<p>Hello {{ name }}</p>")
    write(folder, "both.html", "<b>{{ name }}</b>")
    write(folder, "both.txt", "Dear {{ name }}")
    write(
        folder, "orders/shipped.html", "{% extends 'layout.html' %}{% block it %}gone{% endblock %}"
    )
    write(folder, "layout.html", "<main>{% block it %}{% endblock %}</main>")
    (tmp_path / "outside.html").write_text("outside")
    return folder


def write(flows: Path, name: str, text: str) -> Path:
    """A template."""
    path = flows / "_mail" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "data", "html", "text"),
    [
        ("base", {"name": "Ann"}, "<p>Hello Ann</p>", "Hello Ann\n"),
        ("base", {"name": "<b>&"}, "<p>Hello &lt;b&gt;&amp;</p>", "Hello <b>&\n"),
        ("base", {}, "<p>Hello </p>", "Hello\n"),
        ("both", {"name": "<b>"}, "<b>&lt;b&gt;</b>", "Dear <b>"),
        ("orders/shipped", {}, "<main>gone</main>", "gone\n"),
    ],
)
def test_a_template_is_filled(
    flows: Path, name: str, data: dict[str, str], html: str, text: str
) -> None:
    """HTML with what strangers sent escaped; its text beside it, or made of it."""
    assert render(flows, name, data) == (html, text)


def test_the_templates_there_are(flows: Path) -> None:
    """By the names that flows use."""
    assert templates.names(flows) == ["base", "both", "layout", "orders/shipped"]
    assert templates.names(flows / "nowhere") == []


@pytest.mark.parametrize(
    "name",
    [
        "nope",
        "",
        "..",
        "../../outside",
        "/etc/passwd",
        "orders/../base",
        ".hidden",
        "orders",
        "a\0b",
    ],
)
def test_a_name_leads_nowhere_else(flows: Path, name: str) -> None:
    """Data may choose a template, and nothing outside of the folder."""
    write(flows, ".hidden.html", "hidden")

    with pytest.raises(TemplateMissing):
        render(flows, name, {})
    with pytest.raises(TemplateMissing):
        check(flows, name)


def test_a_link_may_lead_around_below_the_flows_and_not_out(flows: Path) -> None:
    """ConfigMaps are made of the first kind."""
    (flows / "..data").mkdir()
    (flows / "..data" / "inside.html").write_text("inside")
    (flows / "_mail" / "inside.html").symlink_to("../..data/inside.html")
    (flows / "_mail" / "outside.html").symlink_to("../../outside.html")

    assert render(flows, "inside", {}).html == "inside"
    with pytest.raises(TemplateMissing):
        render(flows, "outside", {})


def test_a_change_is_seen_at_the_next_mail(flows: Path) -> None:
    """Nothing has to be reloaded."""
    path = write(flows, "news.html", "old")
    assert render(flows, "news", {}).html == "old"

    path.write_text("newer")

    assert render(flows, "news", {}).html == "newer"
    path.unlink()
    with pytest.raises(TemplateMissing):
        render(flows, "news", {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\n{% if %}", "the mail template _mail/it.html, line 2: "),
        ("{{ a", "the mail template _mail/it.html, line 1: "),
    ],
)
def test_a_template_that_does_not_parse_has_a_line(flows: Path, text: str, says: str) -> None:
    """Known when the flow is loaded."""
    write(flows, "it.html", text)

    with pytest.raises(TemplateMistake, match=says):
        check(flows, "it")


@pytest.mark.parametrize(
    "text",
    [
        "{{ 1 / 0 }}",
        "{% include 'nope.html' %}",
        "{{ name.__class__.__mro__ }}{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% for a in range(1000000) %}{% endfor %}",
        "{% for a in range(99999) %}{{ 'x' * 99 }}{% endfor %}",
        "{{ items.append(1) }}",
    ],
)
def test_a_template_that_fails_is_told_in_a_sentence(flows: Path, text: str) -> None:
    """Of one line; it neither gets at Python nor at memory without end."""
    write(flows, "it.html", text)

    with pytest.raises(
        TemplateMistake, match=r"the mail template _mail/it\.html fails: "
    ) as caught:
        render(flows, "it", {"name": "x", "items": []})

    assert len(str(caught.value)) < 300


def test_what_takes_too_long_ends(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces of the result."""
    monkeypatch.setattr(templates, "_SECONDS", 0.0)

    with pytest.raises(TemplateMistake, match="longer than 0 s"):
        render(flows, "base", {"name": "x"})


@pytest.mark.parametrize("content", [b"\xff", b"a" * (MAX_RESULT + 2)])
def test_a_file_that_is_no_template_is_none(flows: Path, content: bytes) -> None:
    """Not UTF-8, or too large."""
    (flows / "_mail" / "it.html").write_bytes(content)

    with pytest.raises(TemplateMissing):
        check(flows, "it")


def test_a_file_that_nobody_writes_to_does_not_hold_anybody(flows: Path) -> None:
    """A pipe is no template."""
    os.mkfifo(flows / "_mail" / "pipe.html")

    with pytest.raises(TemplateMissing):
        check(flows, "pipe")
