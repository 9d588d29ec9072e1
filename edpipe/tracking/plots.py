"""Plots of a run as PNG, drawn without a display."""

from __future__ import annotations

from pathlib import Path

import polars as pl


def write_plots(
    folder: Path, *, curves: pl.DataFrame, calibration: pl.DataFrame, outcome: str = "right"
) -> list[Path]:
    """Draw the learning curves and the calibration, and return the files.

    Parameters
    ----------
    folder
        Where the files go.
    curves
        ``epoch`` and columns of losses and scores.
    calibration
        ``model, bin, predicted, observed, count``.
    outcome
        What the calibrated probability is of.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    if len(curves):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for name in [column for column in curves.columns if column.endswith("loss")]:
            axes.plot((curves["epoch"] + 1).to_list(), curves[name].to_list(), marker="o", label=name)
        axes.set(xlabel="epoch", ylabel="log loss", title="Learning curves")
        axes.legend()
        files.append(folder / "learning_curves.png")
        figure.savefig(files[-1], dpi=110)
    if len(calibration):
        figure = Figure(figsize=(5.5, 5), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--", label="perfect")
        for (model,), part in calibration.group_by("model", maintain_order=True):
            axes.plot(part["predicted"].to_list(), part["observed"].to_list(), marker=".", label=str(model))
        axes.set(
            xlabel=f"predicted share {outcome}",
            ylabel=f"observed share {outcome}",
            title="Calibration on the test split",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        axes.legend(fontsize="small")
        files.append(folder / "calibration.png")
        figure.savefig(files[-1], dpi=110)
    return files
