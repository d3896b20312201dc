"""`widthwise probe`: a phase diagram of students of a known teacher, or how much of a fit to real data is memory."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from widthwise.cli.kept import KeptRun, interruptible
from widthwise.cli.options import FigurePath, JsonPath, StorePath, _numbers
from widthwise.cli.output import console, output_files, say_written, write
from widthwise.errors import InputError, unknown_name

FAMILIES = ("one-hidden-layer", "linear", "deep", "hidden-manifold")


def probe(
    teacher: Annotated[
        str, typer.Argument(metavar="TEACHER", help="one-hidden-layer, linear, deep or hidden-manifold.")
    ] = "one-hidden-layer",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Real data instead of a teacher, as `predict` takes them: true and shuffled labels."
        ),
    ] = None,
    inputs: Annotated[int, typer.Option(metavar="N0", help="Inputs of the teacher.")] = 20,
    units: Annotated[int, typer.Option(metavar="M", help="Hidden units of the teacher.")] = 3,
    activation: Annotated[str, typer.Option(help="Of the teacher and of the students: erf, relu, tanh, …")] = "erf",
    gain: Annotated[float, typer.Option(metavar="g", help="Of the teacher; from 2 on overlaps mean something.")] = 2.0,
    width: Annotated[
        str | None,
        typer.Option(metavar="N1", help="Students' hidden units, one number or several: 3,6. By default 2M."),
    ] = None,
    sizes: Annotated[
        str, typer.Option(metavar="P/(N0 N1)", help="Examples in units of the first layer's weights.")
    ] = "0.5,1,2,3,5",
    seeds: Annotated[int, typer.Option(min=1, help="Students of each size; 5 at least for a verdict.")] = 5,
    noise: Annotated[float, typer.Option(min=0.0, metavar="σ", help="Of the labels.")] = 0.0,
    shuffle: Annotated[
        float, typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Of a teacher's labels to permute.")
    ] = 0.0,
    method: Annotated[str, typer.Option(help="gauss-newton, adam or lbfgs.")] = "gauss-newton",
    restarts: Annotated[int, typer.Option(min=1, help="Of each student, at most: the best by training error.")] = 5,
    classes: Annotated[str, typer.Option(metavar="A,B", help="Of --data, as in `predict`.")] = "parity",
    train_size: Annotated[int, typer.Option(min=2, metavar="P", help="Of --data.")] = 300,
    test_size: Annotated[int, typer.Option(min=2, metavar="n", help="Of --data.")] = 500,
    temperature: Annotated[float, typer.Option(metavar="T", help="Of the theory, with --data.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of teacher, data and weights.")] = 0,
    store: StorePath = None,
    json: JsonPath = None,
    figure: FigurePath = None,
) -> None:
    """Train students and say whether they became their teacher or learnt their examples by heart."""
    began = time.perf_counter()
    files = output_files({"json": json, "figure": figure, "store": store})
    kept = files.pop("store", None)
    widths = [int(N1) for N1 in _numbers("--width", width, int)] if width else []
    if min(widths, default=1) < 1:
        raise InputError(f"--width: expected whole numbers of at least 1, got {width}; pass e.g. 6.")
    how: dict[str, Any] = {"method": method, "restarts": restarts}
    if data is not None:
        if len(widths) > 1 or noise or shuffle or store:
            raise InputError(
                "--data: expected one --width, and no --noise, --shuffle or --store with it; leave them out."
            )
        sample = {"classes": classes, "train_size": train_size, "test_size": test_size, "seed": seed}
        network = {"widths": widths or [8], "activation": activation}
        record, table, drawn = _on_data(data, sample, network, temperature, how, "figure" in files)
    else:
        task = _teacher(teacher, inputs, units, activation, gain, seed)
        M = 1 if task.units is None else len(task.units)
        grid = {"sizes": _numbers("--sizes", sizes, float), "widths": [N1 / M for N1 in widths or [2 * units]]}
        how |= {"activation": activation, "noise": noise, "shuffled": shuffle, "repeats": 1, "key": seed}
        runs = None if kept is None else KeptRun(kept)
        with interruptible(runs, True):
            record, table, drawn = _on_teacher(task, grid | {"seeds": seeds, "store": runs}, how, "figure" in files)
    contents = {}
    if "json" in files:
        from widthwise.report.records import strict_json

        contents[files["json"]] = strict_json(record | {"seconds": time.perf_counter() - began})
    if drawn is not None:
        from widthwise.report.figures import figure_format, render

        contents[files["figure"]] = render(drawn, figure_format(figure or ""))
    write(contents)
    printed_on = console()
    printed_on.print(table)
    say_written(printed_on, files)


def _teacher(name: str, inputs: int, units: int, activation: str, gain: float, seed: int) -> Any:
    from widthwise.probes import Teacher

    if name not in FAMILIES:
        raise unknown_name("teacher", name, FAMILIES)
    own: dict[str, Any] = {"activation": activation, "gain": gain, "key": seed}
    if name == "one-hidden-layer":
        return Teacher.one_hidden_layer(inputs, units, **own)
    if name == "linear":
        return Teacher.linear(inputs, gain=gain, key=seed)
    if name == "deep":
        return Teacher.deep(inputs, [inputs, units], **own)
    return Teacher.hidden_manifold(inputs, max(units, inputs // 2), units, **own)


def _on_teacher(task: Any, grid: dict[str, Any], how: dict[str, Any], draw: bool) -> tuple[Any, Any, Any]:
    """Record, what is printed, figure."""
    from rich.console import Group

    from widthwise.probes.phase import phase_diagram
    from widthwise.probes.trajectory import trajectory
    from widthwise.report.probes import phase_table, report_table

    diagram = phase_diagram(task, **grid, **how)
    row, column = len(diagram.units) - 1, max(range(len(diagram.sizes)), key=lambda j: diagram.sizes[j])
    path = trajectory(task, int(diagram.examples[row, column]), diagram.units[row], 0, diagram.recipe)
    verdicts = [[said.records() for said in line] for line in diagram.verdicts]
    shown = diagram.cells[row][column][0]
    record = {
        "teacher": diagram.teacher, "recipe": vars(diagram.recipe), "sizes": diagram.sizes, "units": diagram.units,
        "examples": diagram.examples, "seeds": diagram.seeds, "verdicts": verdicts, "runs": diagram.records(),
        "trajectory": path.records(), "report": shown.report.records(),
    }  # fmt: skip
    figure = None
    if draw:
        from widthwise.report.probe_figures import phase_figure

        labels = f", label noise {diagram.recipe.noise:g}" if diagram.recipe.noise else ""
        labels += f", {diagram.recipe.shuffled:.0%} of the labels shuffled" if diagram.recipe.shuffled else ""
        figure = phase_figure(
            diagram, path, title=f"Collapse to the teacher, or memorise? {diagram.teacher}",
            subtitle=f"{diagram.activation} students, {diagram.seeds} seeds; lines: medians{labels}",
        )  # fmt: skip
    one = f"one of them, P = {diagram.examples[row, column]}"
    return record, Group(phase_table(diagram), report_table(shown.report, name=one)), figure


def _on_data(
    name: str, sample: dict[str, Any], network: dict[str, Any], temperature: float, how: dict[str, Any], draw: bool
) -> tuple[Any, Any, Any]:
    import numpy as np

    import widthwise as ww
    from widthwise.probes.story import story
    from widthwise.report.probes import story_table

    found = ww.load_data(name, labels="sign", **sample)
    X, y, X_test, y_test = found
    permuted = np.random.default_rng([sample["seed"], len(y)]).permutation(y)
    stories = {
        title: story(
            ww.FullyConnected(**network), (X, labels, X_test, y_test), temperature=temperature, key=sample["seed"],
            repeats=1, permutations=1, steps=300, **how,
        )
        for title, labels in (("true labels", y), ("shuffled labels", permuted))
    }  # fmt: skip
    title = f"{name}, classes {sample['classes']}"
    figure = None
    if draw:
        from widthwise.report.probe_figures import story_figure

        first = stories["true labels"]
        figure = story_figure(
            stories, title=f"How much of the fit is memory? {title}", subtitle=f"{first.network}, P = {first.examples}"
        )
    record = {"data": name, **sample, **{words.split()[0]: told.records() for words, told in stories.items()}}
    return record, story_table(stories, name=title), figure
