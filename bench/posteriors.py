"""Posteriors known by quadrature, sampled by everything: agreement, and who says so where modes are missed.

    python bench/posteriors.py --write docs/sampling.md

The posteriors and their quadrature are those of tests/sampling/test_quadrature.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from problems import between

import widthwise as ww
from widthwise.sampling import Problem, sample_grid, step_bias

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "sampling"))

from test_quadrature import KEYS, POSTERIORS, SAMPLERS, STEPS, sampled

HEAD = (
    "| posterior | sampler | ε_g by quadrature | sampled | z | R-hat | ESS bulk, tail | status |",
    "|---|---|---|---|---|---|---|---|",
)
FEW, RUNS = 2, 20  # chains of a short look at the modes, and how many of these


def row(posterior: str, sampler: str, truth: float, value: float, error: float, rest: tuple[str, str, str]) -> str:
    """One line of the table."""
    z = (value - truth) / error
    return f"| {posterior} | {sampler} | {truth:.5f} | {value:.5f} ± {error:.5f} | {z:+.1f} | {' | '.join(rest)} |"


def rows() -> Iterator[str]:
    """Each sampler once where the posterior is of one piece, with every key where it is not."""
    for name, posterior in POSTERIORS.items():
        truth = posterior.truth.generalisation_error
        keys = KEYS if name == "aliases" else KEYS[:1]
        for sampler, settings in SAMPLERS.items():
            for key in keys:
                samples = sampled(posterior, settings, key)
                got, verdict = samples.generalisation_error, samples.diagnostics
                rest = (f"{verdict.rhat:.3f}", f"{verdict.ess:.0f}, {verdict.ess_tail:.0f}", verdict.status)
                label = f"{name}, key {key}" if len(keys) > 1 else name
                step = f", η = {settings.step_size:g}" if isinstance(settings, ww.Langevin) else ""
                yield row(label, sampler + step, truth, got.value, got.standard_error, rest)
        if name != "aliases":
            line = step_bias(
                posterior.network, *posterior.data, temperature=posterior.T, step_sizes=STEPS,
                sampler=SAMPLERS["langevin"], throw=False,
            )  # fmt: skip
            fits = f"line fits with p = {line.probability:.2g}"
            yield row(name, "langevin, η → 0", truth, line.limit, line.limit_error, ("", "", fits))


def unseen() -> str:
    """How often two chains, of which both may sit in one mode, are wrong and do not know it."""
    posterior, settings = POSTERIORS["aliases"], replace(SAMPLERS["collapsed-hmc"], chains=FEW, draws=300, warmup=150)
    problem, truth = Problem(posterior.network, *posterior.data, posterior.T), posterior.truth.generalisation_error
    found = sample_grid([problem] * RUNS, sampler=settings, key=0, throw=False)
    off = [abs(s.generalisation_error.value - truth) > 4 * s.generalisation_error.standard_error for s in found]
    silent = np.array(off) & np.array([s.diagnostics.status == "mixed" for s in found])
    return (
        f"Chains that all sit in one mode agree with each other: of {RUNS} runs of `aliases` by {FEW} chains of "
        f'collapsed HMC each, {int(silent.sum())} are more than 4 standard errors off with the status "mixed". '
        f"Take eight chains or more where modes may be many."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", help="the Markdown file whose table is replaced")
    arguments = parser.parse_args()
    lines = list(HEAD)
    print(*lines, sep="\n", flush=True)
    for line in rows():
        lines.append(line)
        print(line, flush=True)
    lines += ["", unseen()]
    print(*lines[-2:], sep="\n")
    if arguments.write:
        between(Path(arguments.write), "posteriors", "\n".join(lines))


if __name__ == "__main__":
    main()
