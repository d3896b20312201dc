"""The commands: parse, call, write. Nothing is half written."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widthwise.cli.options import (
    ActivationOption,
    Approximation,
    BiasVariance,
    Chains,
    Classes,
    Closure,
    Conv,
    DataArgument,
    Depth,
    Draws,
    FigurePath,
    JsonPath,
    KeptRun,
    Labels,
    Padding,
    Quiet,
    Readout,
    Request,
    Resume,
    SamplerName,
    Sampling,
    Seed,
    Standardise,
    StepSize,
    StorePath,
    Stride,
    Target,
    Temperature,
    TestSize,
    Thinning,
    TracePath,
    TrainSize,
    Warmup,
    WeightPrecisions,
    Width,
    data_of,
    network_of,
)  # fmt: skip
from widthwise.errors import InputError, NumericalError
from widthwise.store import Store

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
    sampler: SamplerName = "collapsed-hmc",
    chains: Chains = 4,
    draws: Draws = 500,
    warmup: Warmup = None,
    step_size: StepSize = None,
    thinning: Thinning = None,
    store: StorePath = None,
    resume: Resume = None,
    trace: TracePath = None,
    quiet: Quiet = False,
    json: JsonPath = None,
    figure: FigurePath = None,
) -> None:
    """Predict as `predict` does, sample the weights of the real network, and print how far they are apart."""
    request = Request(
        data, classes, train_size, test_size, target, labels, standardise, width, depth, closure, conv,
        stride, padding, readout, activation, temperature, weight_precisions, bias_variance, approximation, seed, json,
        figure,
    )  # fmt: skip
    sampling = Sampling(sampler, chains, draws, warmup, step_size, thinning, store, resume, trace, quiet)
    chosen = sampling.sampler()
    files = _output_files(request, sampling)
    prediction = _predict(request)
    import widthwise as ww

    began = time.perf_counter()
    try:
        samples = _sample(request, sampling, chosen, files.pop("store", None), prediction)
    except NumericalError as error:
        found = getattr(error, "samples", None)
        if found is not None and "trace" in files:
            with suppress(InputError):  # chains that have run away cannot be drawn
                _write({files["trace"]: _trace(sampling, found)})
        _print(request, prediction)  # what is known is shown, before the line that says what is not
        if found is None:
            raise
        raise NumericalError(sampling.unmixed(chosen, found)) from error
    record = {"name": sampler, "chains": chains, "draws": draws, "seconds": time.perf_counter() - began}
    tables = {
        "comparison": ww.compare(prediction.posterior, samples),
        "calibration": ww.calibration(prediction.posterior, samples, infinite=prediction.infinite),
    }
    _finish(request, files, prediction, sampling=sampling, samples=samples, tables=tables, extra={"sampler": record})


@contextmanager
def interruptible(store: KeptRun | None, resume: bool) -> Iterator[None]:
    """Control-C says what is kept; where it is not the command's own to answer, nothing changes."""
    from widthwise.cli import INTERRUPTED, _interrupt

    if store is None or signal.getsignal(signal.SIGINT) is not _interrupt:
        yield
        return

    def interrupt(signal_number: int, frame: object) -> None:
        command = "the same command" if resume else "the command without --no-resume"
        kept = f"{store.path} keeps what was done until the last checkpoint; {command} goes on from there."
        line = f"widthwise: interrupted; {kept if store.holds else 'nothing has been kept yet.'}\n"
        os.write(2, line.encode(errors="replace"))
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _interrupt)


def _sample(request: Request, sampling: Sampling, sampler: Any, path: Path | None, prediction: _Prediction) -> Any:
    """The samples of the real network; what will be sampled and how far it is are said on stderr."""
    import widthwise as ww
    from widthwise.sampling.progress import Progress, reporter

    store = None if path is None else KeptRun(path)
    chains = f"{prediction.network.name}, {sampler.name}: {sampler.chains} chains × {sampler.draws} draws"
    where = "" if store is None else f", kept in {sampling.kept_in}"
    unsaid = True

    with (
        reporter(not sampling.quiet and sys.stderr.isatty()) as bar,
        interruptible(store, sampling.resume is not False),
    ):

        def tell(report: Progress) -> None:
            nonlocal unsaid
            if unsaid:
                after = f"goes on, {report.done} of {report.total} transitions done"
                how = report.note if report.stage == "estimate" else after
                sys.stderr.write(f"widthwise: sampling {chains}; {how}{where}\n")
            unsaid = False
            if bar is not None:
                bar(report)

        kept = {} if store is None else {"store": store, "resume": sampling.resume is not False}
        return ww.sample(
            prediction.network, *prediction.data, temperature=request.temperature, sampler=sampler, key=request.seed,
            progress=False if sampling.quiet else tell, **kept,
        )  # fmt: skip


def _trace(sampling: Sampling, samples: Any) -> bytes:
    from widthwise.report.chains import chains_figure
    from widthwise.report.figures import figure_format, render

    return render(chains_figure(samples), figure_format(sampling.trace or ""))


def _output_files(request: Request, sampling: Sampling | None = None) -> dict[str, Path]:
    """Where to write, checked before anything is computed."""
    from widthwise.files import writable

    kept_in = None if sampling is None else sampling.kept_in
    asked = {"json": request.json, "figure": request.figure, "trace": None if sampling is None else sampling.trace}
    files = {}
    for name, path in asked.items():
        if path is None:
            continue
        if name != "json":
            from widthwise.report.figures import figure_format

            figure_format(path)
        files[name] = writable(path, f"--{name}")
    if kept_in is not None:
        files["store"] = writable(kept_in, "--store")
    for (one, first), (other, second) in combinations(files.items(), 2):
        if first == second:
            raise InputError(f"--{one} and --{other}: expected two files, got {str(first)!r} twice; name another.")
    if "store" in files and files["store"].exists():
        Store(files["store"])  # another file is refused now, and not when there is something to keep
    return files


def _predict(request: Request) -> _Prediction:
    import widthwise as ww
    from widthwise.posterior.infer import multiplies_one_kernel

    began = time.perf_counter()
    network = network_of(request)  # its faults are found before the data are read
    data = data_of(request)
    T = request.temperature
    # several outputs need the kernel's eigenvalues: once for both; one output does without
    once = data.y.ndim == 2 and multiplies_one_kernel(network)
    given = (ww.prepare(network, data.X), data.y) if once else (network, data.X, data.y)
    infinite = ww.infer(*given, temperature=T, approximation="infinite")
    posterior = ww.infer(*given, temperature=T, approximation=request.approximation)
    score, infinite_score = posterior.score(data.X_test, data.y_test), infinite.score(data.X_test, data.y_test)
    seconds = time.perf_counter() - began
    return _Prediction(network, data, posterior, score, infinite, infinite_score, seconds)


def _finish(
    request: Request,
    files: dict[str, Path],
    prediction: _Prediction,
    *,
    sampling: Sampling | None = None,
    samples: Any = None,
    tables: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Make everything in memory, write the files, then print."""
    from widthwise.report.records import prediction_record, strict_json

    shown, T = prediction.shown(), request.temperature
    contents, tables = {}, tables or {}
    if "json" in files:
        shown |= {"calibration": prediction.posterior.calibration(prediction.data.X_test, prediction.data.y_test)}
        record = prediction_record(temperature=T, seconds=prediction.seconds, **shown) | (extra or {})
        contents[files["json"]] = strict_json(record | {name: table.records() for name, table in tables.items()})
    if "figure" in files:
        contents[files["figure"]] = _figure(request, prediction, samples)
    if "trace" in files and sampling is not None:
        contents[files["trace"]] = _trace(sampling, samples)
    _write(contents)
    console = _print(request, prediction)
    for table in tables.values():
        console.print(table)
    for option, path in files.items():
        console.print(f"{option} written to {path}", style="dim", soft_wrap=True, markup=False, highlight=False)


def _write(contents: dict[Path, bytes]) -> None:
    """All files or none."""
    from widthwise.files import write_files

    if contents:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # whole or not at all: a moment's patience
        write_files(contents)
        signal.signal(signal.SIGINT, before)


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


from widthwise.cli import reproduce as _reproduce  # noqa: E402, F401  (registers itself)
