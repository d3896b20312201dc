"""`widthwise phases`: where neurons specialise, over widths and temperatures, beside the saddle's validity."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from widthwise.cli.kept import KeptRun, interruptible
from widthwise.cli.options import (
    ActivationOption,
    Classes,
    DataArgument,
    FigurePath,
    JsonPath,
    Labels,
    Quiet,
    Standardise,
    StorePath,
    Target,
    TestSize,
    TrainSize,
    WeightPrecisions,
    _numbers,
)
from widthwise.cli.output import console, output_files, say_written, write


def phases(
    data: DataArgument = "digits",
    classes: Classes = None,
    train_size: TrainSize = 64,
    test_size: TestSize = 200,
    target: Target = None,
    labels: Labels = "auto",
    standardise: Standardise = "global",
    widths: Annotated[str, typer.Option(metavar="N,…", help="Widths of the hidden layer.")] = "64,32,16",
    temperatures: Annotated[str, typer.Option(metavar="T,…", help="Temperatures, more than zero.")] = "0.03,0.1,0.3",
    activation: ActivationOption = "erf",
    weight_precisions: WeightPrecisions = "1.0",
    neurons: Annotated[int, typer.Option(metavar="k", help="Neurons kept as they are; the others are Gaussian.")] = 4,
    draws: Annotated[int, typer.Option(help="Of each of the ladders.")] = 400,
    warmup: Annotated[int, typer.Option(help="Transitions of each ladder before its draws.")] = 200,
    ladders: Annotated[int, typer.Option(help="Independent ladders of tempered walkers.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of examples, and of the ladders.")] = 0,
    store: StorePath = None,
    json: JsonPath = None,
    figure: FigurePath = None,
    quiet: Quiet = False,
) -> None:
    """Count the neurons that specialise, over widths and temperatures: where Gaussian theories stop, and what follows.

    With --store an interrupted diagram goes on, and a finer one adds to it.
    """
    began = time.perf_counter()
    files = output_files({"json": json, "figure": figure, "store": store}, [data])
    kept = files.pop("store", None)
    import widthwise as ww
    from widthwise.posterior.phase_diagram import PhasePoint, phase_diagram, words
    from widthwise.report.phases import diagram_figure, diagram_table

    grid = {
        "widths": _numbers("--widths", widths, int),
        "temperatures": _numbers("--temperatures", temperatures, float),
    }
    precisions = _numbers("--weight-precisions", weight_precisions, float)
    network = ww.FullyConnected(
        widths=[grid["widths"][0]], activation=activation,
        weight_precisions=precisions[0] if len(precisions) == 1 else tuple(precisions),
    )  # fmt: skip
    chosen = "parity" if data == "digits" and classes is None else classes
    found = ww.load_data(
        data, classes=chosen, train_size=train_size, test_size=test_size, target=target, labels=labels,
        standardise=standardise, seed=seed,
    )  # fmt: skip
    X, y, X_test, y_test = found
    cavity = ww.Cavity(neurons=neurons, ladders=ladders, draws=draws, warmup=warmup, seed=seed)
    printed_on = console()

    def tell(point: PhasePoint) -> None:
        if not quiet:
            line = f"N = {point.width}, T = {point.temperature:g}: {point.specialised:.2f} specialised, {words(point)}"
            printed_on.print(line, style="dim", highlight=False)

    runs = None if kept is None else KeptRun(kept)
    with interruptible(runs, True):
        diagram = phase_diagram(
            network, X, y, **grid, cavity=cavity, X_test=X_test, y_test=y_test, store=runs, progress=tell
        )
    described: dict[str, Any] = found.describe()
    contents = {}
    if "json" in files:
        from widthwise.report.records import strict_json

        record = {"data": described, "network": diagram.network, "cavity": cavity, "points": diagram.records()}
        contents[files["json"]] = strict_json(record | {"seconds": time.perf_counter() - began})
    if "figure" in files:
        from widthwise.report.figures import figure_format, render

        drawn = diagram_figure(
            diagram, title=f"Where neurons specialise: {described['name']}, {diagram.examples} training examples",
            subtitle=f"{diagram.network}, {neurons} neurons explicit",
        )  # fmt: skip
        contents[files["figure"]] = render(drawn, figure_format(figure or ""))
    write(contents)
    printed_on.print(diagram_table(diagram, name=described["name"]))
    say_written(printed_on, files)
