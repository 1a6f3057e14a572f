"""What a mail says, in both of its forms, and what never gets into it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.mails.bodies import MAX_SOURCE, as_text, from_html, from_markdown


def test_markdown_becomes_html_and_is_its_own_text() -> None:
    """It was made to be read as it is."""
    source = "# Hi\n\n**bold** 3 <script>x</script>"

    body = from_markdown(source)

    assert body.html == "<h1>Hi</h1>\n<p><strong>bold</strong> 3 </p>\n"
    assert body.text == source


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("a\n\nb", "<p>a</p>\n<p>b</p>\n"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
        ("~~a~~", "<p><s>a</s></p>\n"),
        ("a <b>c</b>", "<p>a <b>c</b></p>\n"),
        ("a & b < c", "<p>a &amp; b &lt; c</p>\n"),
        ("[a](javascript:alert)", "<p>[a](javascript:alert)</p>\n"),
        ("![a](https://x/y.png)", '<p><img src="https://x/y.png" alt="a"></p>\n'),
    ],
)
def test_markdown_is_commonmark(source: str, html: str) -> None:
    """With what most people expect beyond it."""
    assert from_markdown(source).html == html


def test_markdown_has_tables() -> None:
    """They are what reports are made of."""
    assert "<td>1</td>" in from_markdown("|a|\n|-|\n|1|").html


HARMFUL = [
    "<script>evil</script>",
    "<style>evil</style>",
    "<iframe src='https://evil'></iframe>",
    "<img src=x onerror=evil>",
    "<a href='javascript:evil'>a</a>",
    "<a href=' java\nscript:evil'>a</a>",
    "<img src='data:text/html,evil'>",
    "<form action=evil><input name=evil></form>",
    "<svg onload=evil><evil></svg>",
    "<base href=evil>",
    "<meta http-equiv=refresh content=evil>",
    "<p style='background:url(evil)'>a</p>",
    "<p style='position:fixed;behavior:url(evil)'>a</p>",
    "<object data=evil></object>",
    "<!-- evil -->",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=evil>",
]


@pytest.mark.parametrize("source", HARMFUL)
def test_what_may_be_harmful_is_left_out(source: str) -> None:
    """Whether it stands in HTML or in Markdown."""
    for body in (from_html(source), from_markdown(source)):
        assert "evil" not in body.html


def test_what_editors_write_stays() -> None:
    """Colours, alignment, tables, links."""
    html = '<p style="text-align:center;color:red">a <a href="https://x.y">b</a></p>'

    assert from_html(html).html == html.replace(".y", '.y" rel="noopener noreferrer')


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", "\n"),
        ("<h1>Hi</h1><p>a\n  b</p>", "Hi\n\na b\n"),
        ("a<br>b", "a\nb\n"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b\n"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3\n"),
        ('<a href="https://x.y/z">here</a>', "here (https://x.y/z)\n"),
        ('<a href="https://x.y">https://x.y</a>', "https://x.y\n"),
        ('<a href="mailto:a@b.c">a@b.c</a>', "a@b.c\n"),
        ('<img src="x" alt="a cat">', "a cat\n"),
        ("<pre>a\n   b</pre>", "a\n   b\n"),
        ("a &amp; b &lt; c &euro;", "a & b < c €\n"),
        ("<head><title>x</title></head><style>x</style><p>a</p>", "a\n"),
        ("<p>a</p><p></p><p></p><p>b</p>", "a\n\nb\n"),
        ("</p></a></pre></title>a", "a\n"),
    ],
)
def test_html_is_told_as_text(html: str, text: str) -> None:
    """Somebody without HTML knows what there is, and where links lead."""
    assert as_text(html) == text


@pytest.mark.parametrize("read", [from_html, from_markdown])
def test_a_body_is_bounded(read: object) -> None:
    """Reading it takes seconds where somebody has made it for that, and no more."""
    assert callable(read)
    with pytest.raises(ValueError, match="more than"):
        read("a" * (MAX_SOURCE + 1))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("<>/ab=\"' &;!-[]()*_`#|\n\0é𝄞")), st.booleans())
def test_any_body_can_be_read(source: str, markdown: bool) -> None:
    """Whatever strangers send: HTML without scripts, and text."""
    body = (from_markdown if markdown else from_html)(source)

    assert "<script" not in body.html
    assert as_text(body.html).endswith("\n")
