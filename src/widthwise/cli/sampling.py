"""The real network of `verify`, sampled: what is said meanwhile, where it is kept, how its chains are drawn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from widthwise.cli.kept import KeptRun, interruptible
from widthwise.cli.options import Request, Sampling
from widthwise.cli.prediction import Prediction


def sample(request: Request, sampling: Sampling, sampler: Any, path: Path | None, prediction: Prediction) -> Any:
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


def draw_chains(sampling: Sampling, samples: Any) -> bytes:
    """The picture of the chains."""
    from widthwise.report.chains import chains_figure
    from widthwise.report.figures import figure_format, render

    return render(chains_figure(samples), figure_format(sampling.trace or ""))
