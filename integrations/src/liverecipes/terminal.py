"""Text of strangers on its way to a terminal."""


def printable(text: str) -> str:
    """Return the text with control characters, which could drive the terminal, shown as question marks."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)
