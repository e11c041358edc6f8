"""A page, read back: its text, its anchors and links, its shapes; an unclosed element fails."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "hr"}


@dataclass
class Element:
    """One that was opened; attributes as they are meant."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    """All that stands in it."""


@dataclass
class Page(HTMLParser):
    """Feed it."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> ends nothing"
        assert tag == self.open.pop().name

    def handle_data(self, data):
        for element in self.open:
            element.text += data

    def all(self, name: str, class_: str | None = None) -> list[Element]:
        """Of that name, and that class if one is given."""
        return [
            element
            for element in self.elements
            if element.name == name and (class_ is None or class_ in element.attributes.get("class", "").split())
        ]

    @property
    def ids(self) -> list[str]:
        """Anchors."""
        return [element.attributes["id"] for element in self.elements if "id" in element.attributes]

    @property
    def links(self) -> list[str]:
        """Where to."""
        return [element.attributes["href"] for element in self.all("a")]


def read_page(text: str) -> Page:
    """Whole: everything that was opened was closed."""
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page
