"""Files of a run: checksums, which checkpoint to use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from agent.files import sha256
from agent.patience import patiently
from dreamctl.errors import BadInput, HomeError
from dreamctl.store import Checkpoint, Run, Store
from dreamctl.store.database import may_recover


def newest_first(store: Store, run: Run) -> Iterator[tuple[Path, int, bool]]:
    """The checkpoints of a run, newest first: file, environment steps, whether the file is as it was written.

    A disk that does not answer is waited for, then `OSError`.
    """
    for checkpoint in reversed(patiently(lambda: store.checkpoints(run.id), may_recover)):
        path = patiently(partial(store.file, run.id, checkpoint.path), may_recover)
        yield path, checkpoint.env_steps, patiently(partial(_has, path, checkpoint.sha256))


def _has(path: Path, digest: str) -> bool:
    """Whether a file is there with that SHA-256."""
    try:
        return sha256(path) == digest
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False


def check_present(store: Store, run: Run) -> None:
    """Raises `HomeError` if a run has checkpoints on record, but no file of them, or no episode.

    They are somewhere else, or on a disk that is not mounted: nothing says that they are damaged.
    """
    if missing := patiently(partial(_missing, store, run), may_recover):
        raise HomeError(
            f"{store.folder(run.id)} has none of the {missing} of run {run.name}: put them back, or mount their disk, "
            f"and resume it; dreamctl run --from {run.name} trains it anew"
        )


def _missing(store: Store, run: Run) -> str | None:
    kept = store.checkpoints(run.id)
    if kept and not any(store.file(run.id, checkpoint.path).exists() for checkpoint in kept):
        return "checkpoints"
    learned = any(checkpoint.env_steps for checkpoint in kept)
    return "episodes" if learned and not any(store.file(run.id, "episodes").glob("*.npz")) else None


def is_parents(run: Run, path: Path) -> bool:
    """Whether a checkpoint of a run is the one that it was forked from."""
    return run.parent is not None and patiently(partial(sha256, path)) == run.parent["sha256"]


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
    try:
        whole = sha256(path) == chosen.sha256
    except FileNotFoundError:
        raise BadInput(f"checkpoint {path} is missing") from None
    except OSError as error:
        raise BadInput(f"checkpoint {path} cannot be read ({error.strerror})") from error
    if not whole:
        raise BadInput(f"checkpoint {path} is corrupt (its SHA-256 differs from the recorded one): use another one")
    return chosen
