"""The one-neuron law across the transition: sampled weights beside the cavity's, on MNIST or digits.

python bench/cavity_neurons.py [--data FOLDER] [--write docs/cavity-neurons.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from cavity_cases import KEY, SAMPLER, TEMPERATURE
from truth_cases import labelled

import widthwise as ww
from widthwise.files import whole
from widthwise.posterior.cavity import summarised
from widthwise.posterior.phases import multiplicities, of_all
from widthwise.report.phases import neuron_figure

P, WIDTHS = 64, (64, 32, 16, 8)


def main() -> None:
    """Draws, prints a line for each width, writes the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--data", type=Path, help="folder of mnist.npz; without it digits")
    parser.add_argument("--store", help="where chains are kept")
    parser.add_argument("--write", type=Path, default=Path("docs/cavity-neurons.png"))
    given = parser.parse_args()
    tasks = {task.name: task for task in labelled(given.data)}
    task = tasks.get("MNIST odd/even", tasks["digits odd/even"])
    X, y, X_test, y_test = task.make(P)
    panels = {}
    for N in WIDTHS:
        network = ww.FullyConnected((N,), "erf")
        posterior = ww.infer(network, X, y, temperature=TEMPERATURE, approximation="cavity", throw=False)
        samples = ww.sample(
            network, X, y, X_test, y_test, temperature=TEMPERATURE, sampler=SAMPLER, key=KEY, throw=False,
            store=given.store,
        )  # fmt: skip
        found, seen = posterior.specialisation, samples.specialisation
        drawn = summarised(posterior.law.sampled).shares  # of all draws: the law itself keeps some
        shares, weights = drawn.reshape(-1, drawn.shape[-1]), None
        if found.separated:
            counts = multiplicities(shares, found.threshold, N)
            weights = of_all(shares, counts, N, found.threshold)
        panels[f"load {P / N:g}: {found.count:.2f} of {N} specialised"] = shares, weights, samples.readout_shares
        print(
            f"N {N:3d}: count {found.count:.3f}, kurtosis {found.kurtosis:.2f}, share {found.share:.3f}; sampled "
            f"{seen.count.value:.3f}({seen.count.standard_error:.3f}), {seen.kurtosis.value:.2f}"
            f"({seen.kurtosis.standard_error:.2f}), {seen.share.value:.3f}({seen.share.standard_error:.3f})",
            flush=True,
        )
    title = f"{task.name}, P = {P}, T = {TEMPERATURE:g}: one neuron takes the function over as the load grows"
    figure = neuron_figure(panels, title=title, subtitle="law of a neuron's readout, in units of √N prior deviations")
    with whole(given.write) as file:
        figure.savefig(file, format="png", dpi=120)


if __name__ == "__main__":
    np.seterr(under="ignore")
    main()
