"""`widthwise bound`: what the last layer's size says of the gap, from a file of features or from a network."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from widthwise.cli.options import FigurePath, JsonPath
from widthwise.cli.output import console, output_files, say_written, write
from widthwise.errors import InputError


def bound(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FEATURES.npz",
            help="Arrays features, targets, predictions of training; fresh_features, fresh_targets, fresh_predictions "
            "of examples that trained nothing. With --torch: X_train, y_train, X_test, y_test, or X, y.",
        ),
    ],
    torch: Annotated[
        str | None,
        typer.Option(metavar="MODULE:OBJECT", help="A torch.nn.Module to import, or a function that returns one."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its readout; by default the last linear layer that runs.")
    ] = None,
    trained: Annotated[
        bool, typer.Option("--trained/--frozen", help="Whether the features were trained on these examples.")
    ] = True,
    ridge: Annotated[float, typer.Option(metavar="λ", help="Of the refitted readouts, not divided by P.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the subsets that readouts are refitted on.")] = 0,
    json: JsonPath = None,
    figure: FigurePath = None,
) -> None:
    """Say what a network's last layer allows: its generalisation gap beside 2 N_eff/P, and whether that applies."""
    from widthwise.cli.arrays import from_file, from_torch

    began = time.perf_counter()
    files = output_files({"json": json, "figure": figure}, [file])
    if torch is None:
        if layer is not None:
            raise InputError(f"--layer: expected it with --torch only, got {layer!r}; leave it out.")
        training, fresh = from_file(file)
    else:
        training, fresh = from_torch(file, torch, layer)
    from widthwise.bound import last_layer

    report = last_layer(*training, fresh=fresh, trunk_trained=trained, ridge=ridge, key=seed)
    name = file if torch is None else f"{torch}, {file}"
    curves = (None, None)
    if "figure" in files:
        curves = _curves(training if fresh is None else fresh, ridge, seed) if fresh or not trained else curves
    contents = {}
    if "json" in files:
        from widthwise.report.records import strict_json

        record = {"file": file, "torch": torch, "layer": layer, "ridge": ridge, "seed": seed, **report.records()}
        seconds = {"seconds": time.perf_counter() - began}
        contents[files["json"]] = strict_json(record | {"curve": curves[0]} | seconds)
    if "figure" in files:
        contents[files["figure"]] = _figure(report, curves, name, figure or "")
    write(contents)
    from widthwise.report.bound import bound_table

    printed_on = console()
    printed_on.print(bound_table(report, name=name))
    say_written(printed_on, files)


def _curves(sample: tuple[Any, ...], ridge: float, seed: int) -> tuple[Any, Any]:
    """Refits on subsets of examples that the features never saw; and the theory's line, (P, gap), on a finer grid."""
    import numpy as np

    from widthwise.bound import gap_curve, sharp_gap

    measured = gap_curve(sample[0], sample[1], ridge=ridge, key=seed)
    sizes = np.unique(np.geomspace(measured.sizes[0], 2 * len(sample[0]), 200).round().astype(np.int64))
    return measured, (sizes, sharp_gap(sample[0], sample[1], sizes, ridge=ridge))


def _figure(report: Any, curves: tuple[Any, Any], name: str, path: str) -> bytes:
    from widthwise.report.bound import bound_figure
    from widthwise.report.figures import figure_format, render

    title = f"{name}: a last layer of {report.features} features"
    sample = "the fresh" if report.readout_bound is not None else "the training"
    refitted = "" if curves[0] is None else f"; readouts refitted on subsets of {sample} examples"
    subtitle = f"network: {report.status.replace('_', ' ')}{refitted}"
    return render(bound_figure(report, *curves, title=title, subtitle=subtitle), figure_format(path))
