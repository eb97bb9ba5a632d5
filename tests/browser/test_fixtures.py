"""The fixtures of this package."""

from __future__ import annotations


def test_a_page_reports_the_errors_of_its_scripts(page, console_errors):
    page.set_content("<p>photos</p><script>console.error('first'); throw Error('second')</script>")
    assert page.inner_text("p") == "photos"
    assert [error.split(":")[-1].strip() for error in console_errors] == ["first", "second"]
    console_errors.clear()
