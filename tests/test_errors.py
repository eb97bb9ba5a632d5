from __future__ import annotations

import pytest

from restorekit.errors import ModelError, printable, shortened


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
