"""
What a mail says: HTML that is safe to show, and the same as text.

The HTML may be built from what strangers have sent, so all of it is sanitised: elements and
attributes that are not known to be harmless go, scripts and style sheets with what is in them.
"""

import re
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from typing import Any, Final, NamedTuple

MAX_SOURCE: Final = 1 << 17
"""Characters of Markdown or HTML. Mail programs cut what is longer, and reading it takes seconds
where it is made to."""


class Body(NamedTuple):
    """The same in two forms; mail programs choose."""

    html: str
    text: str


def from_markdown(source: str) -> Body:
    """*source* read as CommonMark with tables; what stands in it as HTML counts as such."""
    return Body(_sanitise()(_markdown()(_bounded(source))), source)


def from_html(source: str) -> Body:
    """*source* as it is, apart from what may be harmful."""
    html = _sanitise()(_bounded(source))
    return Body(html, as_text(html))


def _bounded(source: str) -> str:
    if len(source) > MAX_SOURCE:
        raise ValueError(f"the body has more than {MAX_SOURCE} characters")
    return source


# --- libraries, loaded when the first mail is sent ----------------------------------------------


@cache
def _markdown() -> Callable[[str], str]:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - 40 ms, and most processes send no mail

    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return lambda source: str(reader.render(source))


#: What editors write; none of them can load anything or cover anything else.
_STYLES: Final = {
    "background-color", "border", "border-collapse", "color", "font-family", "font-size",
    "font-style", "font-weight", "height", "line-height", "list-style-type", "margin-left",
    "max-width", "padding", "padding-left", "text-align", "text-decoration", "vertical-align",
    "width",
}  # fmt: skip
_URL_SCHEMES: Final = {"http", "https", "mailto", "tel"}


@cache
def _sanitise() -> Callable[[str], str]:
    import nh3  # noqa: PLC0415 - as above

    cleaner = nh3.Cleaner(
        attributes={**nh3.ALLOWED_ATTRIBUTES, "*": {"style", "title"}},
        filter_style_properties=_STYLES,
        url_schemes=_URL_SCHEMES,
    )
    return cleaner.clean


# --- HTML as text -------------------------------------------------------------------------------


def as_text(html: str) -> str:
    """What *html* says to somebody who sees no HTML: paragraphs, list items, where links lead."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = "".join(reader.parts).split("\n")
    text = "\n".join(line.rstrip() for line in lines)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


_BLOCKS: Final = frozenset(
    (
        "address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt",
        "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
        "hr", "nav", "ol", "p", "pre", "section", "table", "ul",
    )
)  # fmt: skip
_LINES: Final = frozenset(("br", "tr", "li"))
_UNSEEN: Final = frozenset(("head", "script", "style", "title"))


class _Reader(HTMLParser):
    """Gathers the text of what it is fed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._links: list[str] = []
        self._unseen = 0
        self._fixed = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin what *tag* begins."""
        given: dict[str, Any] = dict(attrs)
        self._unseen += tag in _UNSEEN
        self._fixed += tag == "pre"
        self._break(tag)
        if tag == "li":
            self.parts.append("- ")
        elif tag in ("td", "th") and not self._at_start:
            self.parts.append(" ")
        elif tag == "img":
            self.parts.append(given.get("alt") or "")
        elif tag == "a":
            self._links.append(given.get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        """End it."""
        self._unseen -= tag in _UNSEEN and self._unseen > 0
        self._fixed -= tag == "pre" and self._fixed > 0
        if tag == "a" and self._links:
            link = self._links.pop().removeprefix("mailto:")
            if link and link not in self.parts[-1:]:
                self.parts.append(f" ({link})")
        elif tag not in _LINES:
            self._break(tag)

    def handle_data(self, data: str) -> None:
        """Add what is seen; blanks count as in HTML."""
        if self._unseen:
            return
        text = data if self._fixed else re.sub(r"\s+", " ", data)
        self.parts.append(text.lstrip(" ") if self._at_start and not self._fixed else text)

    @property
    def _at_start(self) -> bool:
        """Whether a blank here would be one too many."""
        return not self.parts or self.parts[-1].endswith(("\n", " "))

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n\n")
        elif tag in _LINES:
            self.parts.append("\n")
