"""Errors that a user can do something about: one clear line on stderr, no traceback."""

from __future__ import annotations


class DreamctlError(Exception):
    """str(error) is the line; the program ends with `exit_code`."""

    exit_code = 2


class BadInput(DreamctlError):
    """Something was asked for that cannot be done as asked."""


class HomeError(DreamctlError):
    """The home or its database cannot be used."""


class BadRecord(DreamctlError):
    """A database or a folder holds what no run of dreamctl leaves there: it is not used."""


class MlflowAway(DreamctlError):
    """MLflow is not there, does not answer, or is of another version."""


class UnknownRun(DreamctlError):
    """No run, or more than one, goes by that name."""


class StaleAttempt(DreamctlError):
    """A worker wrote for a run that is no longer its own."""


class RunFailed(DreamctlError):
    """A run ended with an error."""

    exit_code = 1
