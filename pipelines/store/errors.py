"""The base of every error that is meant for the user."""


class GlamError(Exception):
    """Something the user can mend; the message names the file, the place, the reason and the remedy.

    The command line prints it without a stack trace and exits with 1.
    """
