"""Text comes out of a page as it went in, whatever it is, and never as markup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.report.markup import CONTROLS, element
from tests.chaos.report.reading import read_page


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.text(), st.text())
def test_text_is_text(inside: str, attribute: str) -> None:
    """Between tags and within attributes; but for controls, which a page must not hold."""
    read = read_page(element("p", inside, [inside], title=attribute))

    (found,) = read.elements
    assert (2 * inside).translate(CONTROLS).replace("\r", "\ufffd") == found.text.replace("\r", "\ufffd")
    assert {"title": attribute.translate(CONTROLS)} == found.attributes


def test_what_was_made_here_is_put_in_as_it_is() -> None:
    """Elements in elements, numbers, lists; nothing for None; `class_`, `text_anchor` as HTML has them."""
    made = element("p", element("b", 1), [" and ", None, element("br")], class_="x", text_anchor="end", id=None)

    assert '<p class="x" text-anchor="end"><b>1</b> and <br/></p>' == made
