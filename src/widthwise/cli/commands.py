"""`predict` and `verify`: parse, call, write. Nothing is half written."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from widthwise.cli.output import console, output_files, say_written, write
from widthwise.cli.prediction import Prediction
from widthwise.cli.prediction import figure_of as _figure
from widthwise.cli.sampling import draw_chains, sample
from widthwise.errors import InputError, NumericalError

if TYPE_CHECKING:
    from rich.console import Console


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
    files = output_files({"json": json, "figure": figure}, [data])
    prediction = _predict(request)
    _finish(request, files, prediction)


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
    asked = {"json": json, "figure": figure, "trace": sampling.trace, "store": sampling.kept_in}
    files = output_files(asked, [data])
    prediction = _predict(request)
    import widthwise as ww

    began = time.perf_counter()
    try:
        samples = sample(request, sampling, chosen, files.pop("store", None), prediction)
    except NumericalError as error:
        found = getattr(error, "samples", None)
        if found is not None and "trace" in files:
            with suppress(InputError):  # chains that have run away cannot be drawn
                write({files["trace"]: draw_chains(sampling, found)})
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


def _predict(request: Request) -> Prediction:
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
    return Prediction(network, data, posterior, score, infinite, infinite_score, seconds)


def _finish(
    request: Request,
    files: dict[str, Path],
    prediction: Prediction,
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
        contents[files["trace"]] = draw_chains(sampling, samples)
    write(contents)
    printed_on = _print(request, prediction)
    for table in tables.values():
        printed_on.print(table)
    say_written(printed_on, files)


def _print(request: Request, prediction: Prediction) -> Console:
    """The prediction's table, on the console that it returns."""
    from widthwise.report.tables import prediction_table

    printed_on = console()
    printed_on.print(prediction_table(temperature=request.temperature, **prediction.shown()))
    return printed_on
