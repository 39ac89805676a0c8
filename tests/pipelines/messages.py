"""What every message about a file has: where the mistake is, and what is right or what to do."""

from __future__ import annotations

import re
from typing import Final

PLACE: Final = re.compile(r"[\w-]+\.yml:[1-9]\d*(:[1-9]\d*)?: ")
CURE: Final = re.compile(
    r"\b(write|use|Use one of|Did you mean|remove|rename|keep one|close|give|name it|begin|declare|store it|must|"
    r"install|needs?|is expected|is one of|are known|is known|has five fields|two to four segments|0 to|have only|"
    r"is a \w+|is true|takes?|for example|opens it)\b"
)


def check_message(line: str, file: str) -> None:
    """Assert that a message begins with the place in `file` and says what is right or what to do."""
    assert PLACE.match(line), line
    assert line.startswith(f"{file}:"), line
    assert CURE.search(line), line
