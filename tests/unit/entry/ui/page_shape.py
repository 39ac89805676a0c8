"""What a page is made of, and text that tries to change it."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>{{ 7 * 7 }}</title></textarea>",
    "\u202egnp.exe\u2066 مرحبا \u200f",
    "x" * 10_000,
]
PAGE_MAX = 200_000
BLOCKS = frozenset({"details", "div", "dl", "form", "ol", "p", "pre", "section", "table", "ul"})


class Shape(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ends_paragraphs: list[str] = []  # what no paragraph can hold: browsers end it there, and its look with it
        self._in_paragraph = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if self._in_paragraph and tag in BLOCKS:
            self.ends_paragraphs.append(f"{tag}, line {self.getpos()[0]}")
        self._in_paragraph = tag == "p" or (self._in_paragraph and tag not in BLOCKS)

    def handle_endtag(self, tag: str) -> None:
        self._in_paragraph = self._in_paragraph and tag != "p"


def check(page: str) -> Shape:
    """Refuse what the policy forbids and what only a tenant's markup would bring."""
    shape = Shape()
    shape.feed(page)
    assert shape.tags.count("script") == 1
    assert "img" not in shape.tags
    assert "style" not in shape.tags
    assert shape.ends_paragraphs == []
    names = [name for name, _ in shape.attributes]
    assert not [name for name in names if name == "style" or name.startswith("on")]
    identifiers = [value for name, value in shape.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers)), "an id occurs twice"
    assert len(page.encode()) < PAGE_MAX
    return shape
