"""The error that a command line answers with one line and exit code 2."""


class BadInput(ValueError):
    """Something that the user gave cannot be used; the message names it, its value, and what would be right."""
