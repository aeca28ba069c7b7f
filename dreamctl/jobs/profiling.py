"""`dreamctl run --profile`: where a run's time goes, in its folder `profile/`.

trace.json.gz  some updates, operation by operation, for chrome://tracing or ui.perfetto.dev
table.txt      the phases of the run up to its last episode; the operations of the traced updates by their own time
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dreamctl.store import Run, Store

if TYPE_CHECKING:
    import torch

_FIRST, _COUNT = 5, 5  # updates: after a GPU has recorded its graph, and as early as in the shortest preset
_ROWS = 30


class Profiler:
    """Watches one attempt of a run from the thread that trains. Call `progress` after every update, `close` at last."""

    def __init__(self, store: Store, run: Run) -> None:
        self.store, self.run, self.begin = store, run, run.updates + _FIRST
        self.profile: torch.profiler.profile | None = None
        self.table = ""

    def progress(self, updates: int) -> None:
        """Record the operations of `_COUNT` updates."""
        import torch

        if self.profile is None and updates == self.begin:
            self.profile = torch.profiler.profile()
            self.profile.start()
        elif self.profile is not None and not self.table and updates == self.begin + _COUNT:
            self._write(self.profile)

    def close(self) -> None:
        """Write the table, with the phases of the run as its metrics tell them. A full disk costs only the table."""
        if self.profile is not None and not self.table:
            self.profile.stop()  # the run ended among the traced updates
        try:
            self._write_table()
        except OSError as error:
            print(f"warning: no profile: {error}", file=sys.stderr, flush=True)

    def _write_table(self) -> None:
        lines = [f"{'phase':12}{'seconds':>12}"]
        for name in sorted(self.store.last_scalars(self.run.id)):
            if name.startswith("time/") and name.endswith("_seconds"):
                seconds = sum(point.value for point in self.store.scalars(self.run.id, name))
                lines.append(f"{name[5:-8]:12}{seconds:12.2f}")
        path = self._folder() / "table.txt"
        path.write_text("\n".join(lines) + f"\n\n{self.table or 'too few updates for a table of operations'}\n")
        self.store.record_artifact(self.run.id, path="profile/table.txt", kind="profile")

    def _write(self, profile: torch.profiler.profile) -> None:
        profile.stop()
        profile.export_chrome_trace(str(self._folder() / "trace.json.gz"))
        self.store.record_artifact(self.run.id, path="profile/trace.json.gz", kind="profile")
        sort = "self_cuda_time_total" if (self.run.device or "").startswith("cuda") else "self_cpu_time_total"
        operations = profile.key_averages().table(sort_by=sort, row_limit=_ROWS, max_name_column_width=48)
        self.table = f"{_COUNT} updates, and what was done between them:\n{operations}"

    def _folder(self) -> Path:
        folder = self.store.file(self.run.id, "profile")
        folder.mkdir(exist_ok=True)
        return folder
