"""The failure that is a method's own."""


class Diverged(FloatingPointError):
    """Learning came to nothing: a loss, a metric or an action is not finite. That is the outcome of the run."""
