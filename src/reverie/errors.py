"""The errors whose message is meant for the person at the keyboard."""


class ReverieError(ValueError):
    """The user's words or files are wrong; the command line prints the message as one line and exits with code 2.

    The message names what was found, what was expected and what to do about it.
    """


class DamagedFileError(ReverieError):
    """A file of a run is truncated, altered or not what its name says; the message names the file."""
