"""What `predict` and `verify` both compute, and its figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from widthwise.cli.options import Request

if TYPE_CHECKING:
    from widthwise.data import DataSet


@dataclass(frozen=True)
class Prediction:
    """The finite network's posterior beside that of infinite width."""

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


def figure_of(request: Request, prediction: Prediction, samples: Any) -> bytes:
    """The effective action and the errors against the width; of patches, how far each was renormalised."""
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
