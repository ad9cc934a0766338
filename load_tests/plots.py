"""Plots of reports as SVG, by matplotlib: text that a browser can search, and no file beside the page."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt  # after the choice of what draws

Points = Sequence[tuple[float, float]]
STYLE: Final[Mapping[str, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "audience",  # the same plot is the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.prop_cycle": plt.cycler(color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]),
}


def lines(
    title: str,
    curves: Mapping[str, Points],
    *,
    x: str,
    y: str,
    limits: Mapping[str, float] | None = None,
    log: str = "",
    marker: str = "",
    shaded: Sequence[tuple[float, float]] = (),
) -> str:
    """Curves by their names. `log` names logarithmic axes ("x", "xy"); `shaded` are stretches of x that stand back."""
    with mpl.rc_context(dict(STYLE)):
        figure, axes = plt.subplots(figsize=(8, 2.9), layout="constrained")
        for name, points in curves.items():
            axes.plot(*zip(*points, strict=True) if points else ([], []), marker or "-", label=name, ms=4, lw=1.4)
        for name, limit in (limits or {}).items():
            axes.axhline(limit, ls="--", lw=1, color="#555555")
            axes.annotate(name, (0.995, limit), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
        for begin, end in shaded:
            axes.axvspan(begin, end, color="#888888", alpha=0.12, lw=0)
        if "x" in log:
            axes.set_xscale("log")
        if "y" in log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set(title=title, xlabel=x, ylabel=y)
        if len(curves) > 1:
            axes.legend(loc="upper left", fontsize=8, framealpha=0.6)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        plt.close(figure)
    text = out.getvalue()
    return text[text.index("<svg") :]


def write(path: Path, svg: str) -> None:
    """As a file of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('<?xml version="1.0" encoding="utf-8"?>\n' + svg, encoding="utf-8")


def bars(title: str, values: Mapping[str, float], *, line: float) -> str:
    """Horizontal bars on a logarithmic axis, with a line that tells them apart."""
    with mpl.rc_context(dict(STYLE)):
        figure, axes = plt.subplots(figsize=(8, 0.6 + 0.28 * len(values)), layout="constrained")
        names = list(values)[::-1]
        colours = ["#009E73" if values[name] >= line else "#D55E00" for name in names]
        axes.barh(names, [values[name] for name in names], color=colours)
        axes.axvline(line, ls="--", lw=1, color="#555555")
        axes.set_xscale("log")
        axes.set_title(title)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        plt.close(figure)
    text = out.getvalue()
    return text[text.index("<svg") :]
