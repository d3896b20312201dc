"""`make bench-sampling`: effective samples of the test error per CPU second, all samplers on the same networks.

Langevin dynamics is timed at the step size whose bias of the test error is 1 %, found by `step_bias`: shorter steps are
slower, longer ones wrong. Digits are embedded; MNIST joins where its file is given:
    python bench/sampling.py --mnist mnist.npz --write docs/sampling.md
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from problems import between, exists, images

import widthwise as ww
from widthwise.sampling import step_bias

BIAS = 0.01


@dataclass(frozen=True)
class Case:
    """A network to sample, and Langevin's first step size, well below instability."""

    name: str
    network: object
    data: tuple
    temperature: float
    step: float


def cases(mnist: str | None):
    """The networks."""
    digits = tuple(ww.load_data("digits", classes="parity", train_size=64, test_size=200, seed=1))
    yield Case("digits parity, erf, P = N = 64, T = 0.1", ww.FullyConnected([64], "erf"), digits, 0.1, 0.01)
    yield Case("digits parity, erf, P = 64, N = 64-64, T = 0.1", ww.FullyConnected([64, 64], "erf"), digits, 0.1, 0.01)
    small = tuple(ww.load_data("digits", classes="parity", train_size=64, test_size=200, seed=1, flatten=False))
    network = ww.Convolutional(channels=16, patch=4, activation="erf")
    yield Case("digits parity, erf, 16 channels on 4x4 patches, P = 64, T = 0.1", network, small, 0.1, 0.01)
    if exists(mnist):
        data = images(str(mnist), 64, 200, ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)), seed=1)
        yield Case("MNIST parity, erf, P = N = 64, T = 0.01", ww.FullyConnected([64], "erf"), data, 0.01, 0.01)


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


def langevin(case: Case, exact: float, effort: float):
    """Langevin at the step size of 1 % bias: its samples, CPU seconds, step size, and the fit that found it."""
    start = ww.Langevin(chains=8, draws=150, warmup=50, step_size=case.step, thinning=round(effort / case.step))
    bias = step_bias(
        case.network, *case.data, temperature=case.temperature, throw=False, key=11,
        sampler=start, step_sizes=[case.step * f for f in (1.0, 2.0, 3.0)],
    )  # fmt: skip
    slope = np.sum(bias.step_sizes * (bias.values - exact) / bias.standard_errors**2)
    slope /= np.sum((bias.step_sizes / bias.standard_errors) ** 2)
    step = BIAS * exact / abs(slope)
    samples, seconds = timed(case, replace(start, step_size=step, thinning=max(1, round(effort / step))))
    return samples, seconds, step, bias


def row(name: str, sampler: str, samples, seconds: float, reference: float | None) -> str:
    g, d = samples.generalisation_error, samples.diagnostics
    rate = g.ess / seconds
    ratio = "" if reference is None else f"{rate / reference:.0f}"
    return (
        f"| {name} | {sampler} | {g.value:.4f} ± {g.standard_error:.4f} | {g.rhat:.3f} "
        f"| {g.ess:.0f} / {g.ess_tail:.0f} | {d.leapfrog_steps:.0f} | {seconds:.1f} | {rate:.3g} | {ratio} "
        f"| {d.status} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", default=os.environ.get("WIDTHWISE_MNIST"))
    parser.add_argument("--write", help="the Markdown file whose table is replaced")
    parser.add_argument("--only", type=int, help="this case alone")
    parser.add_argument("--effort", type=float, default=2.0, help="Langevin's time η × steps between two kept draws")
    arguments = parser.parse_args()
    lines = [
        "| network | sampler | ε_g | R-hat | ESS bulk / tail | gradients per draw | CPU s | ESS / CPU s | ÷ Langevin "
        "| status |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for index, case in enumerate(cases(arguments.mnist)):
        if arguments.only not in (None, index):
            continue
        found = [
            (type(s).__name__, *timed(case, s))
            for s in (ww.CollapsedHMC(draws=1000), ww.HMC(draws=1000), ww.NUTS(draws=500))
        ]
        exact = found[0][1].generalisation_error.value
        slow, seconds, step, bias = langevin(case, exact, arguments.effort)
        reference = slow.generalisation_error.ess / seconds
        points = zip(bias.step_sizes, bias.values, bias.standard_errors)
        fits = ", ".join(f"{eta:g}: {value:.4f} ± {error:.4f}" for eta, value, error in points)
        print(f"{case.name}: Langevin at {fits}; limit {bias.limit:.4f} ± {bias.limit_error:.4f}")
        new = [row(case.name, name, samples, cpu, reference) for name, samples, cpu in found]
        new.append(row(case.name, f"Langevin, η = {step:.2g}", slow, seconds, reference))
        print("\n".join(new), flush=True)
        lines += new
    if arguments.write:
        between(Path(arguments.write), "speed", "\n".join(lines))


if __name__ == "__main__":
    main()
