"""Errors that are told to a user in one line."""


class UserError(Exception):
    """A mistake of the user's: the message names the file or the key, and what to do about it.

    The entry points print the message alone and exit with status 2.
    """


class NonFiniteError(Exception):
    """A loss stopped being a finite number; the message says which, and where to go on from."""
