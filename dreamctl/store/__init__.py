"""What keeps runs: the run database (`Store`) and its mirror in MLflow (`dreamctl.store.mirror`)."""

from dreamctl.store.models import Artifact, Attempt, Checkpoint, Evaluation, Run
from dreamctl.store.queries import Point
from dreamctl.store.store import Store, open_store

__all__ = ["Artifact", "Attempt", "Checkpoint", "Evaluation", "Point", "Run", "Store", "open_store"]
