"""What keeps runs: the run database (`Store`) and its mirror in MLflow (`dreamctl.store.mirror`)."""

from dreamctl.store.models import Artifact, Checkpoint, Evaluation, Run
from dreamctl.store.store import Point, Store, open_store

__all__ = ["Artifact", "Checkpoint", "Evaluation", "Point", "Run", "Store", "open_store"]
