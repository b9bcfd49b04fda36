"""Charts as plain geometry: numbers in, places in percent of the plot out. The template draws them.

Lines are drawn in a box of 1000 × 1000 that stretches to the width of the page, while labels are text of the page, so
that a chart reads the same on a phone and in print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BOX = 1000


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float], margin: float = 0.05) -> Axis:
        """Return an axis that holds all `values` and a margin (a share of their range)."""
        low, high = min(values), max(values)
        room = (high - low) * margin or abs(high) * margin or 1.0
        return cls(low - room, high + room)

    def percent(self, value: float) -> float:
        """Return the place of `value`, in percent of the axis, within its ends."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def ticks(self, count: int = 5) -> list[dict[str, Any]]:
        """Return about `count` round values: {percent, label}."""
        step = round_step((self.high - self.low) / count)
        first = math.ceil(self.low / step)
        values = [n * step for n in range(first, math.floor(self.high / step) + 1)]
        return [{"percent": self.percent(value), "label": tick_label(value, step)} for value in values]


def round_step(least: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))


def tick_label(value: float, step: float) -> str:
    """Write a tick with as many decimals as its step has."""
    if not value and step >= 1:
        return "0"
    if step >= 1000:
        return f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1e3:g}k"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, decimals) != round(step, decimals + 1):
        decimals += 1
    return f"{value if abs(value) > step / 1e6 else 0.0:.{decimals}f}".replace("-", "−")


def forest(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Place differences and their intervals beside a line at zero.

    Args:
        rows: results of a comparison; `difference`, `low`, `high`, `bootstrap_low`, `bootstrap_high`.

    Returns:
        {zero, ticks, rows: [{point, low, width, bootstrap_low, bootstrap_width}]}, all places in percent.
    """
    names = ("difference", "low", "high", "bootstrap_low", "bootstrap_high")
    axis = Axis.around([0.0, *(row[name] for row in rows for name in names if row[name] is not None)])
    placed = []
    for row in rows:
        place = {name: axis.percent(row[name]) for name in names if row[name] is not None}
        placed.append(
            {
                "point": place["difference"],
                "low": place.get("low"),
                "width": round(place["high"] - place["low"], 2) if "low" in place else None,
                "bootstrap_low": place["bootstrap_low"],
                "bootstrap_width": round(place["bootstrap_high"] - place["bootstrap_low"], 2),
            }
        )
    return {"zero": axis.percent(0.0), "ticks": axis.ticks(), "rows": placed}


def curves(series: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Draw the mean of each series as a line, and the range over its runs as a band.

    Args:
        series: {name, runs: [[(x, y), …], …]}; the runs of a series have equal x.

    Returns:
        {x_ticks, y_ticks, series: [{name, line, band, last}]}: `line` and `band` are SVG point lists in the box.
    """
    points = [point for entry in series for run in entry["runs"] for point in run]
    x_axis = Axis(0.0, max(x for x, _ in points))
    # The first tenth falls so steeply that with it all else would look level; the line starts above the plot.
    settled = [y for x, y in points if x >= x_axis.high / 10] or [y for _, y in points]
    y_axis = Axis.around(settled)
    drawn = []
    for entry in series:
        columns = list(zip(*entry["runs"], strict=True))
        xs = [column[0][0] for column in columns]
        heights = [[y for _, y in column] for column in columns]
        middle = [(x, sum(ys) / len(ys)) for x, ys in zip(xs, heights, strict=True)]
        upper = [(x, max(ys)) for x, ys in zip(xs, heights, strict=True)]
        lower = [(x, min(ys)) for x, ys in zip(xs, heights, strict=True)]
        drawn.append(
            {
                "name": entry["name"],
                "line": _points(middle, x_axis, y_axis),
                "band": _points([*upper, *reversed(lower)], x_axis, y_axis),
                "last": middle[-1][1],
            }
        )
    return {"x_ticks": x_axis.ticks(4), "y_ticks": y_axis.ticks(), "series": drawn}


def _points(points: Sequence[tuple[float, float]], x_axis: Axis, y_axis: Axis) -> str:
    """Return an SVG point list; heights are not held within the box, which clips them."""
    placed = []
    for x, y in points:
        across = BOX * (x - x_axis.low) / (x_axis.high - x_axis.low)
        down = BOX * (y_axis.high - y) / (y_axis.high - y_axis.low)
        placed.append(f"{across:.1f},{down:.1f}")
    return " ".join(placed)


def histogram(counts: Sequence[int]) -> list[dict[str, Any]]:
    """Return bars {left, width, height, count, low, high}: places in percent, bounds of the bin in [0, 1].

    Heights are logarithmic: classifiers put nearly everything at the two ends, and the few between are of interest.
    """
    highest = math.log1p(max(counts)) or 1.0
    width = 100 / len(counts)
    return [
        {
            "left": round(number * width, 3),
            "width": round(width, 3),
            "height": round(100 * math.log1p(count) / highest, 2),
            "count": count,
            "low": number / len(counts),
            "high": (number + 1) / len(counts),
        }
        for number, count in enumerate(counts)
    ]
