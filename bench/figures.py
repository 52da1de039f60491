"""How benches measure and say what they found: one line a figure, with its aim and whether it is met."""

import resource
import statistics
import time
from collections.abc import Sequence
from typing import Self


class Clock:
    """Seconds by the clock and of CPU (children that ended included) inside a `with`."""

    wall = cpu = 0.0

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), _cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, _cpu() - self._cpu

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s of CPU)"


def _cpu() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def told(what: str, figure: float, *, at_most: float | None = None, at_least: float | None = None) -> None:
    """Print one figure, its aim and whether it is met; or only the figure, where nobody set an aim."""
    if at_most is None and at_least is None:
        print(f"  {figure:8.2f} {what}", flush=True)
        return
    met = (at_most is None or figure <= at_most) and (at_least is None or figure >= at_least)
    aim = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}"
    print(f"  {figure:8.2f} {what} (aim: {aim}: {'met' if met else 'NOT met'})", flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of all values is at or below."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the middle one."""
    return statistics.median(values)
