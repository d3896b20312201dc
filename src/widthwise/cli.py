"""The command line: parse, call, write. Bad input is one line on stderr and exit status 2; nothing is half written."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widthwise.errors import DataWarning, InputError, MissingExtra, NumericalError, unknown_name

if TYPE_CHECKING:
    from rich.console import Console

    from widthwise.data import DataSet

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="digits, mnist, fashion_mnist, cifar10, an OpenML name, or a file.")
]
Classes = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Labels to keep; '+' joins labels into one class: 0,1 or 0+2+4,1+3+5 or parity."),
]
TrainSize = Annotated[int | None, typer.Option(metavar="P", help="Training examples.")]
TestSize = Annotated[int | None, typer.Option(metavar="n", help="Test examples.")]
Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="Target column of a csv or parquet file.")]
Labels = Annotated[str, typer.Option(help="auto, sign (±1), onehot or raw.")]
Standardise = Annotated[str, typer.Option(help="global, feature or none.")]
Width = Annotated[str, typer.Option(metavar="N", help="Units of the hidden layer, or one number per layer: 200,100.")]
Depth = Annotated[int | None, typer.Option(metavar="L", help="Hidden layers; by default as many as widths.")]
ActivationOption = Annotated[str, typer.Option(help="erf, relu, identity, tanh, gelu, …")]
Temperature = Annotated[float, typer.Option(metavar="T", help="Temperature of the posterior, more than zero.")]
WeightPrecisions = Annotated[str, typer.Option(metavar="λ", help="Of every layer, or one per layer: 1,2.")]
BiasVariance = Annotated[str, typer.Option(metavar="σ²", help="Of the hidden layers' biases.")]
Approximation = Annotated[
    str | None, typer.Option(help="saddle, integrated, infinite or two-parameter; by default what suits the network.")
]
Seed = Annotated[int, typer.Option(help="Of the choice of examples, and of the sampler.")]
JsonPath = Annotated[str | None, typer.Option("--json", metavar="OUT", help="Write the numbers to this file.")]
FigurePath = Annotated[str | None, typer.Option("--figure", metavar="OUT", help="Draw to this .png, .pdf or .svg.")]


@dataclass(frozen=True)
class _Request:
    """What both commands are asked: which data, which network, which files."""

    data: str
    classes: str | None
    train_size: int | None
    test_size: int | None
    target: str | None
    labels: str
    standardise: str
    width: str
    depth: int | None
    activation: str
    temperature: float
    weight_precisions: str
    bias_variance: str
    approximation: str | None
    seed: int
    json: str | None
    figure: str | None


@dataclass(frozen=True)
class _Prediction:
    """What both commands compute: the finite network's posterior beside that of infinite width."""

    network: Any
    data: DataSet
    prepared: Any
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
    request = _Request(
        data, classes, train_size, test_size, target, labels, standardise, width, depth, activation, temperature,
        weight_precisions, bias_variance, approximation, seed, json, figure,
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
    request = _Request(
        data, classes, train_size, test_size, target, labels, standardise, width, depth, activation, temperature,
        weight_precisions, bias_variance, approximation, seed, json, figure,
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


def _output_files(request: _Request) -> dict[str, Path]:
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


def _network(request: _Request) -> Any:
    import widthwise as ww

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
    precisions = _numbers("--weight-precisions", request.weight_precisions, float)
    biases = _numbers("--bias-variance", request.bias_variance, float)
    return ww.FullyConnected(
        widths=tuple(widths),
        activation=request.activation,
        weight_precisions=precisions[0] if len(precisions) == 1 else tuple(precisions),
        bias_variance=biases[0] if len(biases) == 1 else tuple(biases),
    )


def _numbers(option: str, text: str, kind: type[int] | type[float]) -> list[Any]:
    """'200' or '200,100' as numbers."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{option}: expected {what} such as 200 or 200,100, got {text!r}.") from None


def _data(request: _Request) -> DataSet:
    import widthwise as ww

    classes, train_size, test_size = request.classes, request.train_size, request.test_size
    if request.data == "digits":  # the embedded default is a small problem of two classes
        classes = "0,1" if classes is None and request.labels in ("auto", "sign") else classes
        train_size = 200 if train_size is None else train_size
        test_size = 100 if test_size is None else test_size
    return ww.load_data(
        request.data, classes=classes, train_size=train_size, test_size=test_size, target=request.target,
        labels=request.labels, standardise=request.standardise, seed=request.seed,
    )  # fmt: skip


def _predict(request: _Request) -> _Prediction:
    import widthwise as ww

    began = time.perf_counter()
    network = _network(request)  # its faults are found before the data are read
    data = _data(request)
    prepared = ww.prepare(network, data.X)
    T = request.temperature
    posterior = ww.infer(prepared, data.y, temperature=T, approximation=request.approximation)
    infinite = ww.infer(prepared, data.y, temperature=T, approximation="infinite")
    score, infinite_score = posterior.score(data.X_test, data.y_test), infinite.score(data.X_test, data.y_test)
    seconds = time.perf_counter() - began
    return _Prediction(network, data, prepared, posterior, score, infinite, infinite_score, seconds)


def _sampler(name: str, chains: int, draws: int, warmup: int | None) -> Any:
    import widthwise as ww

    samplers = {"collapsed-hmc": "CollapsedHMC", "hmc": "HMC"}
    if name not in samplers:
        raise unknown_name("sampler", name, samplers)
    options = {"chains": chains, "draws": draws} | ({} if warmup is None else {"warmup": warmup})
    return getattr(ww, samplers[name])(**options)


def _finish(
    request: _Request,
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


def _print(request: _Request, prediction: _Prediction) -> Console:
    """The prediction's table, on the console that it returns."""
    from rich.console import Console

    from widthwise.report.tables import prediction_table

    console = Console() if sys.stdout.isatty() else Console(width=100)
    console.print(prediction_table(temperature=request.temperature, **prediction.shown()))
    return console


def _figure(request: _Request, prediction: _Prediction, samples: Any) -> bytes:
    from widthwise.report.curves import width_curve
    from widthwise.report.figures import SampledPoint, figure_format, prediction_figure, render

    network, data, posterior = prediction.network, prediction.data, prediction.posterior
    N = network.widths[-1]
    curve = width_curve(
        prediction.prepared, data.y, data.X_test, data.y_test, temperature=request.temperature, width=N,
        infinite=prediction.infinite, infinite_score=prediction.infinite_score, approximation=request.approximation,
    )  # fmt: skip
    points = []
    if samples is not None:
        for kind, estimate in (("test", samples.generalisation_error), ("training", samples.training_error)):
            points.append(SampledPoint(N, float(estimate.value), float(estimate.standard_error), kind))
    described = data.describe()
    figure = prediction_figure(
        getattr(posterior, "action", None),
        float(posterior.effective_action.Q),
        curve,
        width=N,
        title=f"{described['name']}, {described['train_size']} training examples: {network.name}",
        subtitle=f"temperature {request.temperature:g}",
        sampled=points,
    )
    return render(figure, figure_format(request.figure or ""))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status: 0, 1 (no trustworthy number), 2 (bad input) or 130 (interrupted).

    Args:
        arguments: what follows `widthwise` on the command line.
    """
    command = typer.main.get_command(app)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", DataWarning)
            status = command.main(args=list(arguments) or ["--help"], prog_name="widthwise", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except (InputError, MissingExtra) as error:
        return _say(str(error), BAD_INPUT)
    except NumericalError as error:
        return _say(str(error), FAILED)
    except OverflowError as error:
        return _say(f"expected numbers that fit double precision, got a larger one ({error}); use smaller.", BAD_INPUT)
    except MemoryError as error:
        return _say(f"expected a problem that fits in memory, got {error}; use fewer examples or features.", FAILED)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _say(f"expected output that can be written, got {error.strerror or error}; check the disk.", FAILED)
    except Exception as error:
        if hasattr(error, "format_message"):  # the parser's own complaints
            return _say(f"{error.format_message().rstrip('. ')}; see `widthwise --help`.", BAD_INPUT)
        if os.environ.get("WIDTHWISE_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}"
        return _say(f"a fault of ours: {what}; set WIDTHWISE_TRACEBACK=1 to see where, and report it.", FAILED)
    if status == INTERRUPTED:
        return _say("interrupted; nothing was written.", INTERRUPTED)
    for message in dict.fromkeys(str(w.message) for w in caught):
        _say(f"note: {message}", OK)
    return status if isinstance(status, int) else OK


def _say(message: str, status: int) -> int:
    """One line on stderr."""
    sys.stderr.write(f"widthwise: {' '.join(message.split())}\n")
    return status


def _interrupt(signal_number: int, frame: object) -> None:
    """Ends the process at once: compiled code may swallow a KeyboardInterrupt, and is not safe to unwind."""
    os.write(2, b"widthwise: interrupted; nothing was written.\n")
    os._exit(INTERRUPTED)


def main() -> None:
    """The `widthwise` command."""
    signal.signal(signal.SIGINT, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters is no reason to fail
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
