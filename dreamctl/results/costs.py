"""What runs cost: hours of a device per million environment steps, and hours spent."""

from __future__ import annotations

# Hours per 1e6 environment steps on one V100, without parallelization (Section 5, "Implementation").
PAPER = {"dreamer": 10.0, "planet": 17.0, "d4pg": 24.0}
RATE = "time/env_steps_per_second"


def hours_per_million(rate: float | None) -> float | None:
    """Hours per 1e6 environment steps, from environment steps per second."""
    return 1e6 / rate / 3600 if rate else None
