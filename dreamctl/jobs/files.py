"""Files of a run: checksums, which checkpoint to use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from agent.patience import patiently
from dreamctl.errors import BadInput
from dreamctl.store import Checkpoint, Run, Store
from dreamctl.store.database import may_recover


def sha256(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def newest_first(store: Store, run: Run) -> Iterator[tuple[Path, bool]]:
    """The checkpoints of a run, newest first, and whether each file is as it was written."""
    for checkpoint in reversed(patiently(lambda: store.checkpoints(run.id), may_recover)):
        path = store.file(run.id, checkpoint.path)
        yield path, path.is_file() and sha256(path) == checkpoint.sha256


def is_parents(run: Run, path: Path) -> bool:
    """Whether a checkpoint of a run is the one that it was forked from."""
    return run.parent is not None and sha256(path) == run.parent["sha256"]


def best(store: Store, run: Run) -> Checkpoint | None:
    """The checkpoint of the best evaluation among those that are kept (the newest of equals).

    Of several at the same environment steps the one with the fewest updates is what was evaluated.
    """
    scores = {e.env_steps: e.mean for e in store.evaluations(run.id) if e.kind != "manual"}
    scored = [c for c in store.checkpoints(run.id) if c.env_steps in scores]
    return max(scored, key=lambda c: (scores[c.env_steps], c.env_steps, -c.updates), default=None)


def choose(store: Store, run: Run, which: str) -> Checkpoint:
    """The checkpoint called 'latest', 'best' or by its environment steps, whole. Raises `BadInput`."""
    kept = store.checkpoints(run.id)
    if not kept:
        raise BadInput(f"run {run.name} has no checkpoint yet")
    if which == "latest":
        chosen = kept[-1]
    elif which == "best":
        found = best(store, run)
        if found is None:
            raise BadInput(f"run {run.name} has no evaluated checkpoint yet: use --checkpoint latest")
        chosen = found
    else:
        steps = {str(checkpoint.env_steps): checkpoint for checkpoint in kept}
        if which not in steps:
            raise BadInput(f"run {run.name} has no checkpoint {which!r}: use latest, best, or {', '.join(steps)}")
        chosen = steps[which]
    path = store.file(run.id, chosen.path)
    if not path.is_file():
        raise BadInput(f"checkpoint {path} is missing")
    if sha256(path) != chosen.sha256:
        raise BadInput(f"checkpoint {path} is corrupt (its SHA-256 differs from the recorded one): use another one")
    return chosen
