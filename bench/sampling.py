"""`make bench-sampling`: effective samples of the test error per CPU second, all samplers on the same networks.

Langevin dynamics is timed at several step sizes, its bias measured against the exact sampler. Speeds are compared with
the fastest of those whose bias may still be 1 %, at two standard errors: in Langevin's favour.
Digits are embedded; MNIST joins where its file is given:
    python bench/sampling.py --mnist mnist.npz --write docs/sampling.md
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from problems import between, exists, images

import widthwise as ww

BIAS = 0.01


@dataclass(frozen=True)
class Case:
    """A network to sample, and Langevin's step sizes, the largest still stable."""

    name: str
    network: object
    data: tuple
    temperature: float
    steps: tuple[float, ...]


def cases(mnist: str | None):
    """The networks."""
    digits = tuple(ww.load_data("digits", classes="parity", train_size=64, test_size=200, seed=1))
    small = tuple(ww.load_data("digits", classes="parity", train_size=64, test_size=200, seed=1, flatten=False))
    warm = 0.02, 0.04
    yield Case("digits parity, N = 64, T = 0.1", ww.FullyConnected([64], "erf"), digits, 0.1, warm)
    yield Case("digits parity, N = 64-64, T = 0.1", ww.FullyConnected([64, 64], "erf"), digits, 0.1, warm)
    convolution = ww.Convolutional(channels=16, patch=4, activation="erf")
    yield Case("digits parity, 16 channels, 4x4 patches, T = 0.1", convolution, small, 0.1, warm)
    if exists(mnist):
        data = images(str(mnist), 64, 200, ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)), seed=1)
        yield Case("MNIST parity, N = 64, T = 0.01", ww.FullyConnected([64], "erf"), data, 0.01, warm)


def timed(case: Case, sampler):
    """Samples, and the CPU seconds that its draws took, without warm-up and compilation."""
    marks: list[float] = []

    def hear(progress) -> None:
        if progress.stage == "draws":
            marks.append(time.process_time())

    samples = ww.sample(
        case.network, *case.data, temperature=case.temperature, sampler=sampler, key=3, progress=hear, throw=False
    )
    # the first chunk may compile: the others tell the speed
    return samples, (marks[-1] - marks[0]) * len(marks) / (len(marks) - 1)


def rows(case: Case, effort: float) -> list[str]:
    """Of the table: the exact samplers, then Langevin at every step size."""
    exact = [
        (type(s).__name__, *timed(case, s))
        for s in (ww.CollapsedHMC(draws=1000), ww.HMC(draws=1000), ww.NUTS(draws=300))
    ]
    truth = exact[0][1].generalisation_error
    slow = []
    for step in case.steps:
        thinning = max(1, round(effort / (step * case.temperature)))
        sampler = ww.Langevin(chains=8, draws=200, warmup=40, step_size=step, thinning=thinning)
        slow.append((f"Langevin, η = {step:g}", *timed(case, sampler)))
    found = [samples.generalisation_error for _, samples, _ in slow]
    bias = np.array([g.value / truth.value - 1.0 for g in found])
    errors = np.array([np.hypot(g.standard_error, truth.standard_error) / truth.value for g in found])
    rates = np.array([g.ess / seconds for g, (_, _, seconds) in zip(found, slow)])
    allowed = np.abs(bias) - 2.0 * errors <= BIAS
    reference = float(rates[allowed].max()) if allowed.any() else float(rates[0])
    lines = []
    for name, samples, seconds in exact + slow:
        g, d = samples.generalisation_error, samples.diagnostics
        off = 100.0 * (g.value / truth.value - 1.0)
        error = 100.0 * np.hypot(g.standard_error, truth.standard_error) / truth.value
        error = 100.0 * np.hypot(g.standard_error, truth.standard_error) / truth.value
        rate = g.ess / seconds
        lines.append(
            f"| {case.name} | {name} | {g.value:.4f} ± {g.standard_error:.4f} | {off:+.1f} ± {error:.1f} "
            f"| {g.rhat:.3f} | {g.ess:.0f} / {g.ess_tail:.0f} | {d.leapfrog_steps:.0f} | {seconds:.1f} "
            f"| {rate:.3g} | {rate / reference:.3g} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", default=os.environ.get("WIDTHWISE_MNIST"))
    parser.add_argument("--write", help="the Markdown file whose table is replaced")
    parser.add_argument("--only", type=int, help="this case alone")
    parser.add_argument("--effort", type=float, default=0.15, help="Langevin's time η T × steps between two kept draws")
    arguments = parser.parse_args()
    lines = [
        "| network (P = 64, erf) | sampler | ε_g | off, % | R-hat | ESS bulk / tail | gradients per draw | CPU s "
        "| ESS / CPU s | ÷ Langevin |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for index, case in enumerate(cases(arguments.mnist)):
        if arguments.only in (None, index):
            new = rows(case, arguments.effort)
            print("\n".join(new), flush=True)
            lines += new
    if arguments.write:
        between(Path(arguments.write), "speed", "\n".join(lines))


if __name__ == "__main__":
    main()
