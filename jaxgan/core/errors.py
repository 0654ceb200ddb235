"""Errors whose message the user reads as one line."""


class UserError(Exception):
    """A user mistake: the message names the file or the key, and says what to do.

    The commands print only the message and exit with status 2.
    """


class NonFiniteError(Exception):
    """A metric or an array stopped being finite; the message names it and the last checkpoint."""
