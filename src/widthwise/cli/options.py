"""What the commands can be asked: every option once, and the requests, network and data that they add up to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widthwise.errors import InputError, unknown_name

if TYPE_CHECKING:
    from widthwise.data import DataSet

STORE = "widthwise.db"

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
Closure = Annotated[
    str, typer.Option(help="global, nested or linearised: how several hidden layers renormalise the kernel.")
]
Conv = Annotated[
    list[str] | None,
    typer.Option(metavar="CHANNELS,PATCH", help="A convolutional layer, on images: 64,4 or 64,4x3; once per layer."),
]
Stride = Annotated[
    list[str] | None,
    typer.Option(metavar="S", help="Of the patches, 2 or 2x1, for all layers or once per layer; by default the patch."),
]
Padding = Annotated[str, typer.Option(help="valid or same: whole patches only, or zeros around the image.")]
Readout = Annotated[str, typer.Option(help="dense or average: of convolutional layers.")]
ActivationOption = Annotated[str, typer.Option(help="erf, relu, identity, tanh, gelu, …")]
Temperature = Annotated[float, typer.Option(metavar="T", help="Temperature of the posterior, more than zero.")]
WeightPrecisions = Annotated[str, typer.Option(metavar="λ", help="Of every layer, or one per layer: 1,2.")]
BiasVariance = Annotated[str, typer.Option(metavar="σ²", help="Of the hidden layers' biases.")]
Approximation = Annotated[
    str | None, typer.Option(help="saddle, integrated, infinite or two-parameter; by default what suits the network.")
]
Seed = Annotated[int, typer.Option(help="Of the choice of examples, and of the sampler.")]
SamplerName = Annotated[str, typer.Option("--sampler", help="collapsed-hmc, tempered, hmc, nuts or langevin.")]
Chains = Annotated[int, typer.Option(help="Independent chains.")]
Draws = Annotated[int, typer.Option(help="Kept draws of each chain.")]
Warmup = Annotated[int | None, typer.Option(help="Draws to adapt with; by default what suits the sampler.")]
StepSize = Annotated[float | None, typer.Option(metavar="η", help="Of langevin's steps; by default 0.001.")]
Thinning = Annotated[int | None, typer.Option(help="Langevin's steps from one draw to the next; by default 100.")]
StorePath = Annotated[
    str | None, typer.Option("--store", metavar="PATH", help="Keep the run in this file; one that it holds goes on.")
]
Resume = Annotated[
    bool | None,
    typer.Option("--resume/--no-resume", help=f"Go on with the run in --store (by default {STORE}), or start anew."),
]
TracePath = Annotated[str | None, typer.Option("--trace", metavar="OUT", help="Draw the chains: traces and ranks.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, and not what will be sampled.")]
JsonPath = Annotated[str | None, typer.Option("--json", metavar="OUT", help="Write the numbers to this file.")]
FigurePath = Annotated[str | None, typer.Option("--figure", metavar="OUT", help="Draw to this .png, .pdf or .svg.")]


@dataclass(frozen=True)
class Request:
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
    closure: str
    conv: list[str] | None
    stride: list[str] | None
    padding: str
    readout: str
    activation: str
    temperature: float
    weight_precisions: str
    bias_variance: str
    approximation: str | None
    seed: int
    json: str | None
    figure: str | None


@dataclass(frozen=True)
class Sampling:
    """How `verify` is to sample: with what, where the run is kept, and what is drawn of its chains."""

    name: str
    chains: int
    draws: int
    warmup: int | None
    step_size: float | None
    thinning: int | None
    store: str | None
    resume: bool | None
    trace: str | None
    quiet: bool

    @property
    def kept_in(self) -> str | None:
        """The path of the store, if there is to be one."""
        return STORE if self.store is None and self.resume else self.store

    def sampler(self) -> Any:
        """The sampler with its settings."""
        from widthwise.sampling.samplers import SAMPLERS

        if self.name not in SAMPLERS:
            raise unknown_name("sampler", self.name, SAMPLERS)
        asked = {"warmup": self.warmup, "step_size": self.step_size, "thinning": self.thinning}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        for name in ("step_size", "thinning"):
            if name in given and self.name != "langevin":
                option = f"--{name.replace('_', '-')}"
                raise InputError(
                    f"{option}: expected it with --sampler langevin only, got --sampler {self.name}; leave it out."
                )
        return SAMPLERS[self.name](chains=self.chains, draws=self.draws, **given)

    def unmixed(self, sampler: Any, samples: Any) -> str:
        """That the chains have not mixed, why, and with which options they may."""
        from widthwise.sampling.chains import thinning_of

        diagnostics, draws, dimension = samples.diagnostics, 4 * sampler.draws, samples.weights.shape[2]
        longer = f"--draws {draws}"
        # a run that keeps the weights of other draws is another run
        same = thinning_of(replace(sampler, draws=draws), dimension) == thinning_of(sampler, dimension)
        if diagnostics.divergences and self.name == "langevin":
            smaller = f"--step-size {sampler.step_size / 4:.2g} --thinning {4 * sampler.thinning}"
            more = f"sample in smaller steps, e.g. {smaller}"
        elif self.kept_in is None or not same:
            more = f"sample longer, e.g. {longer} --warmup {2 * sampler.warmup}"
        else:
            more = f"sample longer, e.g. {longer}, which goes on from what {self.kept_in} holds"
        return f"the chains have not mixed: {'; '.join(diagnostics.problems)}; {more}."


def network_of(request: Request) -> Any:
    """The network that was asked for."""
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


def data_of(request: Request) -> DataSet:
    """The data that were asked for."""
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


def _numbers(option: str, text: str, kind: type[int] | type[float]) -> list[Any]:
    """'200' or '200,100' as numbers."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{option}: expected {what} such as 200 or 200,100, got {text!r}.") from None


def _pair(option: str, text: str) -> tuple[int, ...]:
    """'4' or '4x3' as (down, across)."""
    sizes = text.split("x")
    if len(sizes) > 2 or not all(size.isdecimal() for size in sizes):
        raise InputError(f"{option}: expected one whole number or two, such as 4 or 4x3, got {text!r}.")
    return tuple(int(size) for size in sizes)
