"""What the commands can be asked: every option once, and the request that they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

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
