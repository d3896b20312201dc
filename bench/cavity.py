"""`make bench-cavity`: a few real neurons in a Gaussian bath against sampled networks where neurons specialise.

Every cell of `cavity_cases` is sampled, predicted by every theory, and written beside what was sampled; what the store
holds is not made again, so that an interrupted run goes on.

    python bench/cavity.py --data FOLDER --store cavity.db --write docs/cavity.md

FOLDER holds mnist.npz, cifar10_airplane_automobile.npz and uci/*.npz, each optional; the rest needs no file.
"""

from __future__ import annotations

import argparse
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cavity_cases
import numpy as np
from rows import as_csv, elsewhere
from truth_cases import Case

import widthwise as ww
from widthwise.files import whole
from widthwise.posterior.error_bar import Points, evidence
from widthwise.store import Store, fingerprint

PLAIN = ("infinite", "saddle", "integrated")
CAVITIES = {"cavity-1": 1, "cavity-2": 2, "cavity-4": 4, "cavity-8": 8}
THEORIES = (*PLAIN, "edgeworth", "kappa4", "one-neuron", *CAVITIES)
VERSION = 1  # of what is measured


class Measured:
    """Parts of rows in a store.

    Args:
        store: path of the file.
        samples: path of the file of the chains.
    """

    def __init__(self, store: str, samples: str) -> None:
        self.kept, self.samples = Store(store), samples

    def part(self, case: Case, what: str, *, make: bool = True) -> dict[str, Any] | None:
        """What is known of a case: "sampled", "evidence", or one theory; None of what is not there."""
        key = "cavity " + fingerprint(VERSION, case.name, what)
        entry = self.kept.get(key)
        if entry is not None:
            return {**entry.record, **entry.arrays}
        if not make or not applies(case, what):
            return None
        start = time.process_time()
        found, arrays = _measure(case, what, self.samples)
        found["seconds"] = time.process_time() - start
        self.kept.put(key, found, arrays)
        test = found.get("test", found.get("log_evidence"))
        print(f"{case.name}: {what} {test:.4f}, {found['seconds']:.0f} s", flush=True)
        return {**found, **arrays}

    def row(self, case: Case, *, make: bool = False) -> dict[str, Any] | None:
        """All that is known of a case; None where not even the saddle is."""
        found = {what: self.part(case, what, make=make) for what in ("sampled", "evidence", *THEORIES)}
        if found["saddle"] is None:
            return None
        (N,) = case.network.widths
        row: dict[str, Any] = {
            "name": case.name, "part": case.part, "task": case.task.name, "activation": case.network.phi.name,
            "P": case.P, "width": N, "load": case.P / N, "temperature": case.temperature,
        }  # fmt: skip
        mean = None if found["sampled"] is None else found["sampled"]["mean"]
        for what, part in found.items():
            for name, value in (part or {}).items():
                if name != "mean":
                    row[f"{what}_{name}"] = value
            if mean is not None and part and "mean" in part and what != "sampled":
                row[f"{what}_distance"] = float(np.sqrt(np.mean((part["mean"] - mean) ** 2)))
        return row


def applies(case: Case, what: str) -> bool:
    """Whether a case has such a part."""
    (N,) = case.network.widths
    if what in CAVITIES:
        wanted = case.part == "cavity" or what == "cavity-4"
        return wanted and (CAVITIES[what] < N or what == "cavity-4")
    if what == "evidence":
        return case.part == "cavity" and case.P == 64 and case.P // N == 4
    if what in ("sampled", "edgeworth", "kappa4"):
        return case.part == "cavity"
    return what != "one-neuron" or (case.P <= 64 and case.part != "small load")


def _measure(case: Case, what: str, samples: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if what == "sampled":
        return _sampled(case, samples)
    if what == "evidence":
        return _evidence(case, samples)
    X, y, X_test, y_test = case.data()
    if what in PLAIN or what in CAVITIES:
        return _inferred(case, what)
    if what == "edgeworth":
        saddle = ww.infer(case.network, X, y, temperature=case.temperature, approximation="saddle", throw=False)
        test, training = evidence(saddle, Points(X_test, y_test)).neurons, evidence(saddle, Points()).neurons
        score, fit = saddle.score(X_test, y_test), saddle.training_error
        return {
            "test": score.total + test.total, "bias": score.bias + test.bias,
            "variance": score.variance + test.variance, "training": fit.total + training.total,
            "error": test.standard_error,
        }, {}  # fmt: skip
    import jax
    from one_neuron import kappa4, one_neuron

    with jax.enable_x64(True):
        found = (kappa4 if what == "kappa4" else one_neuron)(case.network, X, y, X_test, case.temperature)
    bias, variance = float(np.mean((y_test - found.mean) ** 2)), float(found.variance.mean())
    fit = float(np.mean((y - found.fitted) ** 2 + found.spread))
    return {"test": bias + variance, "bias": bias, "variance": variance, "training": fit}, {"mean": found.mean}


def _inferred(case: Case, what: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    X, y, X_test, y_test = case.data()
    if what in PLAIN:
        found = ww.infer(case.network, X, y, temperature=case.temperature, approximation=what, throw=False)
    else:
        found = cavity(case, cavity_cases.SETTINGS, CAVITIES[what])
        if found.certificate.status != "converged":
            found = cavity(case, cavity_cases.LADDERS, CAVITIES[what])
    score, fit, prediction = found.score(X_test, y_test), found.training_error, found.predict(X_test)
    told: dict[str, Any] = {
        "test": score.total, "bias": score.bias, "variance": score.variance, "training": fit.total,
        "log_evidence": found.log_evidence,
    }  # fmt: skip
    if what in CAVITIES:
        law = found.law
        told |= {
            "error": score.monte_carlo_error, "training_error": fit.monte_carlo_error,
            "status": found.certificate.status, "rhat": found.certificate.rhat, "levels": law.settings.levels,
            "gain": law.evidence.gain, "gain_error": law.evidence.standard_error,
            "round_trips": law.evidence.round_trips, "count": law.specialisation.count,
            "share": law.specialisation.share, "separated": law.specialisation.separated,
            "phases": ", ".join(f"{phase.specialised}: {phase.probability:.3f}" for phase in law.phases),
        }  # fmt: skip
    elif what == "saddle":
        told["product"] = found.validity.product
    return told, {"mean": prediction.mean}


def cavity(case: Case, settings: ww.Cavity, neurons: int) -> Any:
    """The cavity of so many neurons."""
    X, y, _, _ = case.data()
    # cells of one seed share their random numbers, and so the sign of their errors: where z is read, each has its own
    seed = 0 if case.part == "cavity" else zlib.crc32(case.name.encode())
    return ww.infer(
        case.network, X, y, temperature=case.temperature, approximation="cavity",
        cavity=replace(settings, neurons=neurons, seed=seed), throw=False,
    )  # fmt: skip


def _sampled(case: Case, samples: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    found = cavity_cases.sampled(case, samples)
    errors, fit = found.generalisation_error, found.training_error
    told: dict[str, Any] = {"status": found.diagnostics.status, "rhat": errors.rhat, "sampler": found.sampler.name}
    for name, value in (
        ("test", errors), ("bias", errors.bias), ("variance", errors.variance), ("training", fit),
    ):  # fmt: skip
        told |= {name: value.value, f"{name}_standard_error": value.standard_error}
    return told, {"mean": found.mean}


def _evidence(case: Case, samples: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The sampled network's own log p(y), by tempering from its prior."""
    X, y, X_test, y_test = case.data()
    found = ww.sample(
        case.network, X, y, X_test, y_test, temperature=case.temperature, sampler=cavity_cases.TEMPERED,
        key=cavity_cases.KEY, throw=False, store=samples,
    )  # fmt: skip
    of, errors = found.tempering, found.generalisation_error
    return {
        "log_evidence": of.log_evidence, "standard_error": of.log_evidence_error, "status": found.diagnostics.status,
        "test": errors.value, "test_standard_error": errors.standard_error, "training": found.training_error.value,
    }, {}  # fmt: skip


def everything(folder: Path | None) -> Iterator[Case]:
    """The grid, and what stands beside it."""
    yield from cavity_cases.cases(folder)
    yield from cavity_cases.checks(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WIDTHWISE_DATA"), help="folder of the files")
    parser.add_argument("--store", default="cavity.db", help="where chains and rows are kept")
    parser.add_argument("--chains", help="where chains are kept, if elsewhere")
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced; csv and png beside it")
    parser.add_argument("--only", help="parts to measure, e.g. saddle,cavity-4; 'none' reports what is kept")
    parser.add_argument("--largest", type=int, default=10**9, help="P at most")
    arguments = parser.parse_args()
    measured = Measured(arguments.store, arguments.chains or arguments.store)
    wanted = arguments.only.split(",") if arguments.only else ["sampled", *THEORIES, "evidence"]
    all_cases = list(everything(arguments.data and Path(arguments.data)))
    for what in wanted:
        for case in all_cases:
            if what != "none" and arguments.largest >= case.P:
                measured.part(case, what)
    rows = [row for case in all_cases if (row := measured.row(case)) is not None]
    import cavity_report

    if arguments.write:
        path = arguments.write
        rows += elsewhere(path.with_suffix(".csv"), rows)
        with whole(path.with_suffix(".csv")) as file:
            file.write(as_csv(rows))
        cavity_report.write(path, rows)
    else:
        print(cavity_report.summary(rows))


if __name__ == "__main__":
    main()
