"""Which checkpoints of a run are kept, and which one it goes on from."""

import threading
import time

from sqlalchemy import update

from dreamctl.jobs import worker
from dreamctl.jobs.launch import submit
from dreamctl.store.models import Checkpoint
from tests.dreamctl.conftest import spec


def test_new_checkpoints_stay_when_the_clock_goes_back(store):
    """As after a wrong clock was set right, or on a machine whose clock is behind that of the last one."""
    run = submit(store, spec())
    recorder = worker.StoreRecorder(store, run, store.claim(run.id, "cpu"), threading.Event())

    def save(env_steps):
        path = store.file(run.id, f"checkpoints/{env_steps}.pt")
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(env_steps))
        recorder.checkpoint(env_steps, 1, path)
        recorder.flush()

    save(40)
    save(80)
    with store._write() as session:
        session.execute(update(Checkpoint).values(created_at=time.time() + 86400 + Checkpoint.env_steps))
    for env_steps in (120, 160, 200):
        save(env_steps)
    assert [checkpoint.env_steps for checkpoint in store.checkpoints(run.id)] == [160, 200]
    assert {path.name for path in store.file(run.id, "checkpoints").iterdir()} == {"160.pt", "200.pt"}
