"""Label values as both formats write them."""


def escaped(text: str) -> str:
    """Backslash, line feed and quotation mark, each behind a backslash."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
