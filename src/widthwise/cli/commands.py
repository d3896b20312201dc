"""The commands: parse, call, write. Nothing is half written."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widthwise.cli.options import (
    ActivationOption,
    Approximation,
    BiasVariance,
    Classes,
    Closure,
    Conv,
    DataArgument,
    Depth,
    FigurePath,
    JsonPath,
    Labels,
    Padding,
    Readout,
    Request,
    Seed,
    Standardise,
    Stride,
    Target,
    Temperature,
    TestSize,
    TrainSize,
    WeightPrecisions,
    Width,
)  # fmt: skip
from widthwise.errors import InputError, NumericalError, unknown_name

if TYPE_CHECKING:
    from rich.console import Console

    from widthwise.data import DataSet

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True)
class _Prediction:
    """What both commands compute: the finite network's posterior beside that of infinite width."""

    network: Any
    data: DataSet
    posterior: Any
    score: Any
    infinite: Any
    infinite_score: Any
    seconds: float

    def shown(self) -> dict[str, Any]:
        """The parts that tables and records take."""
        names = ("network", "posterior", "score", "infinite", "infinite_score")
        return {"data": self.data.describe(), **{name: getattr(self, name) for name in names}}


def _show_version(asked: bool | None) -> None:
    if asked:
        from widthwise import __version__

        typer.echo(f"widthwise {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool | None,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version),
    ] = None,
) -> None:
    """What a Bayesian deep network of finite width will do, computed from its training data."""


@app.command()
def predict(
    data: DataArgument = "digits",
    classes: Classes = None,
    train_size: TrainSize = None,
    test_size: TestSize = None,
    width: Width = "200",
    depth: Depth = None,
    closure: Closure = "global",
    conv: Conv = None,
    stride: Stride = None,
    padding: Padding = "valid",
    readout: Readout = "dense",
    activation: ActivationOption = "erf",
    temperature: Temperature = 0.01,
    weight_precisions: WeightPrecisions = "1",
    bias_variance: BiasVariance = "0",
    approximation: Approximation = None,
    labels: Labels = "auto",
    standardise: Standardise = "global",
    target: Target = None,
    seed: Seed = 0,
    json: JsonPath = None,
    figure: FigurePath = None,
) -> None:
    """Predict a finite-width network's errors on DATA, beside those of infinite width."""
    request = Request(
        data, classes, train_size, test_size, target, labels, standardise, width, depth, closure, conv,
        stride, padding, readout, activation, temperature, weight_precisions, bias_variance, approximation, seed, json,
        figure,
    )  # fmt: skip
    files = _output_files(request)
    prediction = _predict(request)
    _finish(request, files, prediction)


@app.command()
def verify(
    data: DataArgument = "digits",
    classes: Classes = None,
    train_size: TrainSize = None,
    test_size: TestSize = None,
    width: Width = "200",
    depth: Depth = None,
    closure: Closure = "global",
    conv: Conv = None,
    stride: Stride = None,
    padding: Padding = "valid",
    readout: Readout = "dense",
    activation: ActivationOption = "erf",
    temperature: Temperature = 0.01,
    weight_precisions: WeightPrecisions = "1",
    bias_variance: BiasVariance = "0",
    approximation: Approximation = None,
    labels: Labels = "auto",
    standardise: Standardise = "global",
    target: Target = None,
    seed: Seed = 0,
    sampler: Annotated[str, typer.Option(help="collapsed-hmc or hmc.")] = "collapsed-hmc",
    chains: Annotated[int, typer.Option(help="Independent chains.")] = 4,
    draws: Annotated[int, typer.Option(help="Kept draws of each chain.")] = 500,
    warmup: Annotated[int | None, typer.Option(help="Draws to adapt with; by default what suits the sampler.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    json: JsonPath = None,
    figure: FigurePath = None,
) -> None:
    """Predict as `predict` does, sample the weights of the real network, and print how far they are apart."""
    request = Request(
        data, classes, train_size, test_size, target, labels, standardise, width, depth, closure, conv,
        stride, padding, readout, activation, temperature, weight_precisions, bias_variance, approximation, seed, json,
        figure,
    )  # fmt: skip
    files = _output_files(request)
    chosen = _sampler(sampler, chains, draws, warmup)
    prediction = _predict(request)
    import widthwise as ww

    began = time.perf_counter()
    try:
        samples = ww.sample(
            prediction.network, *prediction.data, temperature=request.temperature, sampler=chosen, key=request.seed,
            progress=not quiet and sys.stderr.isatty(),
        )  # fmt: skip
    except NumericalError as error:
        _print(request, prediction)  # what is known is shown, before the line that says what is not
        found = getattr(error, "samples", None)
        if found is None:
            raise
        more = f"--draws {4 * draws} --warmup {2 * chosen.warmup}"
        raise NumericalError(
            f"the chains have not mixed: {'; '.join(found.diagnostics.problems)}; sample longer, e.g. {more}."
        ) from error
    comparison = ww.compare(prediction.posterior, samples)
    record = {
        "sampler": {"name": sampler, "chains": chains, "draws": draws, "seconds": time.perf_counter() - began},
        "comparison": comparison.records(),
    }
    _finish(request, files, prediction, samples=samples, comparison=comparison, extra=record)


def _output_files(request: Request) -> dict[str, Path]:
    """Where to write, checked before anything is computed."""
    from widthwise.files import writable

    files = {}
    if request.json is not None:
        files["json"] = writable(request.json, "--json")
    if request.figure is not None:
        from widthwise.report.figures import figure_format

        figure_format(request.figure)
        files["figure"] = writable(request.figure, "--figure")
    if len(set(files.values())) < len(files):
        raise InputError(f"--json and --figure: expected two files, got {request.json!r} twice; name another.")
    return files


def _network(request: Request) -> Any:
    import widthwise as ww

    precisions = _numbers("--weight-precisions", request.weight_precisions, float)
    biases = _numbers("--bias-variance", request.bias_variance, float)
    shared: dict[str, Any] = {
        "activation": request.activation,
        "weight_precisions": precisions[0] if len(precisions) == 1 else tuple(precisions),
        "bias_variance": biases[0] if len(biases) == 1 else tuple(biases),
    }
    if not request.conv:
        for option, value, default in (("stride", request.stride or None, None), ("padding", request.padding, "valid"),
                                       ("readout", request.readout, "dense")):  # fmt: skip
            if value != default:
                raise InputError(f"--{option}: expected it with --conv only, got {value!r}; add --conv CHANNELS,PATCH.")
        return ww.FullyConnected(widths=_widths(request), closure=request.closure, **shared)
    if request.depth not in (None, len(request.conv)):
        raise InputError(f"--depth: expected {len(request.conv)}, one per --conv, got {request.depth}; leave it out.")
    for option, value, default in (("width", request.width, "200"), ("closure", request.closure, "global")):
        if value != default:
            raise InputError(f"--{option}: expected none with --conv, got {value!r}; channels stand in --conv.")
    channels, patches = [], []
    for layer in request.conv:
        number, _, patch = layer.partition(",")
        if not patch or "," in patch:
            raise InputError(f"--conv: expected CHANNELS,PATCH such as 64,4 or 64,4x3, got {layer!r}.")
        channels += _numbers("--conv", number, int)
        patches.append(_pair("--conv", patch))
    strides = [_pair("--stride", stride) for stride in request.stride or ()]
    one = len(channels) == 1
    return ww.Convolutional(
        channels=channels[0] if one else tuple(channels),
        patch=patches[0] if one else tuple(patches),
        stride=None if not strides else strides[0] if len(strides) == 1 else tuple(strides),
        padding=request.padding,
        readout=request.readout,
        **shared,
    )


def _widths(request: Request) -> tuple[int, ...]:
    """One number per hidden layer."""
    widths = _numbers("--width", request.width, int)
    if request.depth is not None:
        if request.depth < 1:
            raise InputError(f"--depth: expected at least one hidden layer, got {request.depth}; pass e.g. 1.")
        if len(widths) == 1:
            widths = widths * request.depth
        elif len(widths) != request.depth:
            raise InputError(
                f"--depth: expected {len(widths)}, one per number in --width {request.width}, got {request.depth}; "
                "leave it out."
            )
    return tuple(widths)


def _pair(option: str, text: str) -> tuple[int, ...]:
    """'4' or '4x3' as (down, across)."""
    sizes = text.split("x")
    if len(sizes) > 2 or not all(size.isdecimal() for size in sizes):
        raise InputError(f"{option}: expected one whole number or two, such as 4 or 4x3, got {text!r}.")
    return tuple(int(size) for size in sizes)


def _numbers(option: str, text: str, kind: type[int] | type[float]) -> list[Any]:
    """'200' or '200,100' as numbers."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{option}: expected {what} such as 200 or 200,100, got {text!r}.") from None


def _data(request: Request) -> DataSet:
    import widthwise as ww

    classes, train_size, test_size = request.classes, request.train_size, request.test_size
    if request.data == "digits":  # the embedded default is a small problem of two classes
        classes = "0,1" if classes is None and request.labels in ("auto", "sign") else classes
        train_size = 200 if train_size is None else train_size
        test_size = 100 if test_size is None else test_size
    return ww.load_data(
        request.data, classes=classes, train_size=train_size, test_size=test_size, target=request.target,
        labels=request.labels, standardise=request.standardise, seed=request.seed, flatten=not request.conv,
    )  # fmt: skip


def _predict(request: Request) -> _Prediction:
    import widthwise as ww
    from widthwise.posterior.infer import multiplies_one_kernel

    began = time.perf_counter()
    network = _network(request)  # its faults are found before the data are read
    data = _data(request)
    T = request.temperature
    # several outputs need the kernel's eigenvalues: once for both; one output does without
    once = data.y.ndim == 2 and multiplies_one_kernel(network)
    given = (ww.prepare(network, data.X), data.y) if once else (network, data.X, data.y)
    infinite = ww.infer(*given, temperature=T, approximation="infinite")
    posterior = ww.infer(*given, temperature=T, approximation=request.approximation)
    score, infinite_score = posterior.score(data.X_test, data.y_test), infinite.score(data.X_test, data.y_test)
    seconds = time.perf_counter() - began
    return _Prediction(network, data, posterior, score, infinite, infinite_score, seconds)


def _sampler(name: str, chains: int, draws: int, warmup: int | None) -> Any:
    import widthwise as ww

    samplers = {"collapsed-hmc": "CollapsedHMC", "hmc": "HMC"}
    if name not in samplers:
        raise unknown_name("sampler", name, samplers)
    options = {"chains": chains, "draws": draws} | ({} if warmup is None else {"warmup": warmup})
    return getattr(ww, samplers[name])(**options)


def _finish(
    request: Request,
    files: dict[str, Path],
    prediction: _Prediction,
    *,
    samples: Any = None,
    comparison: Any = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Make everything in memory, write the files, then print."""
    from widthwise.files import write_files
    from widthwise.report.records import prediction_record, strict_json

    shown, T = prediction.shown(), request.temperature
    contents = {}
    if "json" in files:
        record = prediction_record(temperature=T, seconds=prediction.seconds, **shown)
        contents[files["json"]] = strict_json(record | (extra or {}))
    if "figure" in files:
        contents[files["figure"]] = _figure(request, prediction, samples)
    if contents:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # whole or not at all: a moment's patience
        write_files(contents)
        signal.signal(signal.SIGINT, before)
    console = _print(request, prediction)
    if comparison is not None:
        console.print(comparison)
    for option, path in files.items():
        console.print(f"{option} written to {path}", style="dim", soft_wrap=True, markup=False, highlight=False)


def _print(request: Request, prediction: _Prediction) -> Console:
    """The prediction's table, on the console that it returns."""
    from rich.console import Console

    from widthwise.report.tables import prediction_table

    console = Console() if sys.stdout.isatty() else Console(width=100)
    console.print(prediction_table(temperature=request.temperature, **prediction.shown()))
    return console


def _figure(request: Request, prediction: _Prediction, samples: Any) -> bytes:
    from widthwise.report.curves import width_curve
    from widthwise.report.figures import SampledPoint, figure_format, prediction_figure, render
    from widthwise.report.patches import over_outputs, renormalisation_figure

    network, data, posterior = prediction.network, prediction.data, prediction.posterior
    described = data.describe()
    title = f"{described['name']}, {described['train_size']} training examples: {network.name}"
    subtitle, kind = f"temperature {request.temperature:g}", figure_format(request.figure or "")
    if posterior.law.kind == "patches":
        grid = network.patches(*data.X.shape[1:3]).grid
        Q = over_outputs(posterior, posterior.order_parameters["Q"])
        wide = None if network.depth == 1 else over_outputs(posterior, posterior.law.infinite)
        return render(renormalisation_figure(Q, grid, title=title, subtitle=subtitle, infinite=wide), kind)
    N = network.widths[-1]
    curve = width_curve(
        network, *data, temperature=request.temperature, infinite=prediction.infinite,
        infinite_score=prediction.infinite_score, approximation=request.approximation,
    )  # fmt: skip
    points = []
    if samples is not None:
        for what, estimate in (("test", samples.generalisation_error), ("training", samples.training_error)):
            points.append(SampledPoint(N, float(estimate.value), float(estimate.standard_error), what))
    scalar = posterior.law.kind == "scalar"
    figure = prediction_figure(
        posterior.action if scalar else None, float(posterior.law.action.Q) if scalar else None, curve, width=N,
        title=title, subtitle=subtitle, sampled=points,
    )  # fmt: skip
    return render(figure, kind)
