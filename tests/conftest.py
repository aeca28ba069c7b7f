"""One thread in the tests: sums of several differ in their last digits, and two files may run at once."""

import os
import signal

# a script's background jobs, and all they start, ignore the one, what runs under nohup the other
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

# The longest files, so that with `make test JOBS=2` no job is left alone with one of them at the end.
LONGEST = ("scheduler", "mlflow_away", "run", "cluster", "outlast", "environments", "secrets", "terminal", "training")


def pytest_collection_modifyitems(items):
    """Begin with the longest files; the order in a file stays."""
    rank = {f"test_{name}.py": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))
