"""dreamctl: train, record and compare Dreamer agents."""

__version__ = "0.1.0"
