from __future__ import annotations

import pytest

from restorekit.errors import ModelError, printable, shortened, unknown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe 5 µm, 日本", "Größe 5 µm, 日本"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[31mred\x9b", r"\x1b[31mred\x9b"),
        ("right-to-left \u202e", r"right-to-left \u202e"),
        ("not UTF-8: \udcff", r"not UTF-8: \udcff"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_unprintable_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_messages_of_errors_are_one_printable_line() -> None:
    assert str(ModelError("a\n\x1b[2Jb")) == r"a\n\x1b[2Jb"


def test_long_values_are_shortened() -> None:
    assert shortened([1, 2]) == "[1, 2]"
    assert shortened("x" * 100, 10) == "xxxxxxx..."


def test_few_of_very_many_names_are_listed() -> None:
    classes = [f"class {index:03d}" for index in range(1000)]
    text = unknown("class", "clas 712", classes, "complete label")
    assert "Did you mean 'class 712'?" in text
    assert "Allowed: 1000 names, such as class 712" in text
    assert len(text) < 300
    assert unknown("class", "x", classes[:100], "label").count("class 0") == 100
