"""Text that every database stores and every JSON parser takes: Unicode without NUL and without lone surrogates. Torch-free.

PostgreSQL refuses both, SQLite stores them, and a JSON answer that repeats a lone surrogate cannot be encoded.
"""

from collections.abc import Iterator
from typing import Any

EXPECTED = "text without NUL characters and lone surrogates"


def fault_of(value: Any) -> str | None:
    """What is wrong with the text in a JSON-like value, its keys included; ``None`` where nothing is."""
    for text in _texts(value):
        if "\0" in text:
            return f"a NUL character in {text[:50]!r}"
        if not _is_unicode(text):
            return f"a lone surrogate in {text[:50]!r}"
    return None


def storable(value: Any) -> Any:
    """A JSON-like value with NUL and lone surrogates written as escapes, such as ``\\ud800``."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def _texts(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            left.extend(one.keys())
            left.extend(one.values())
        elif isinstance(one, list | tuple):
            left.extend(one)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
