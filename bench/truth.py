"""`make bench-truth`: what a prediction's own error bar is worth, against sampled networks of five families of data.

Every case of `truth_cases` is sampled (into a store: an interrupted run goes on), predicted by infinite width, saddle
and integral, and given its error bar. The bar's weights are fitted to four families and tried on the fifth, in turn.

    python bench/truth.py --data FOLDER --store truth.db --write docs/truth.md

FOLDER holds mnist.npz, cifar10_airplane_automobile.npz and uci/*.npz, each optional; the rest needs no file.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import truth_cases
from rows import as_csv, elsewhere

import widthwise as ww
from widthwise.errors import InputError
from widthwise.files import whole
from widthwise.posterior.error_bar import Points, evidence
from widthwise.store import Store, fingerprint

APPROXIMATIONS = ("infinite", "saddle", "integrated")
VERSION = 1  # of what is measured of a case


def measure(case: truth_cases.Case, store: str) -> dict[str, Any]:
    """One case, sampled and predicted."""
    X, y, X_test, y_test = case.data()
    samples = case.sample(store)
    network, T = case.network, case.temperature
    posteriors = {}
    for name in APPROXIMATIONS:
        try:
            posteriors[name] = ww.infer(network, X, y, temperature=T, approximation=name, throw=False)
        except InputError:
            continue  # not for this network
    # the bars judged here are the saddle's, over patches the integral's; where `infer` asks the cavity: docs/cavity.md
    chosen = "integrated" if isinstance(network, ww.Convolutional) and network.readout == "dense" else "saddle"
    predicted = posteriors[chosen]
    row: dict[str, Any] = {
        "family": case.task.family,
        "task": case.task.name,
        "name": case.name,
        "part": case.part,
        "P": case.P,
        "kind": "convolutional" if isinstance(network, ww.Convolutional) else "fully connected",
        "outputs": 1 if y.ndim == 1 else y.shape[1],
        "activation": network.phi.name,
        "widths": "-".join(map(str, network.widths)),
        "temperature": T,
        "approximation": chosen,
        "status": samples.diagnostics.status,
        "verdict": predicted.validity.verdict,
        "tau": predicted.validity.tau,
        "rho": predicted.validity.rho,
        "product": predicted.validity.product,
        "kurtosis": predicted.validity.kurtosis,
        "nats": predicted.validity.nats,
        "narrowest": min(network.widths),
        "effective_rank": effective_rank(posteriors["infinite"], X),
        "log_evidence_gain": _gain(predicted),
    }
    for which, sampled, at in (
        ("test", samples.generalisation_error, Points(X_test, y_test)),
        ("training", samples.training_error, Points()),
    ):
        row |= {f"{which}_sampled": sampled.value, f"{which}_standard_error": sampled.standard_error}
        for name, posterior in posteriors.items():
            errors = posterior.training_error if at.X is None else posterior.score(X_test, y_test)
            row[f"{which}_{name}"] = errors.total
        row[f"{which}_predicted"] = row[f"{which}_{chosen}"]
        found = evidence(predicted, at)
        if found.neurons is not None:
            neurons = found.neurons
            scale = row[f"{which}_predicted"] / found.error
            row[f"{which}_neurons"] = scale * (abs(neurons.bias) + abs(neurons.variance))
            row[f"{which}_departure"] = scale * neurons.total
            row[f"{which}_noise"] = scale * neurons.standard_error
    row["sampled_nll"] = samples.negative_log_likelihood.value
    for name, posterior in posteriors.items():
        prediction = posterior.predict(X_test)
        row[f"{name}_distance"] = float(np.sqrt(np.mean((prediction.mean - samples.mean) ** 2)))
        row[f"{name}_nll"] = posterior.score(X_test, y_test).negative_log_likelihood
        row[f"{name}_coverage"] = samples.coverage(*prediction.interval(0.9)).value
        lower, upper = prediction.interval(0.9, observed=True)
        row[f"{name}_data"] = float(np.mean((y_test >= lower) & (y_test <= upper)))
    return row


def effective_rank(wide: Any, X: np.ndarray) -> float:
    """(tr K)²/tr K² of the infinite network's kernel, per example."""
    K = wide.renormalised_kernel(X)
    K = K if K.ndim == 2 else K[:, 0, :, 0]
    return float(np.trace(K) ** 2 / np.sum(K * K) / len(K))


def _gain(posterior: Any) -> float | None:
    try:
        return float(posterior.log_evidence_gain)
    except InputError:
        return None  # the saddle of a matrix with more rows than units has no Laplace approximation


def rows_of(folder: Path | None, store: str, limit: int | None) -> list[dict[str, Any]]:
    """Every case, measured; what the store holds of this version is not measured again."""
    kept, found = Store(store), []
    for case in list(truth_cases.cases(folder))[:limit]:
        key = "row " + fingerprint(VERSION, case.name)
        entry = kept.get(key)
        if entry is None:
            row = measure(case, store)
            kept.put(key, row)
            print(f"{case.name}: {row['test_sampled']:.4f}, predicted {row['test_predicted']:.4f}", flush=True)
        else:
            row = dict(entry.record)
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WIDTHWISE_DATA"), help="folder of the files")
    parser.add_argument("--store", default="truth.db", help="where chains and rows are kept")
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced; csv and png beside it")
    parser.add_argument("--limit", type=int, help="so many cases only")
    arguments = parser.parse_args()
    rows = rows_of(arguments.data and Path(arguments.data), arguments.store, arguments.limit)
    import truth_report

    if arguments.write:
        path = arguments.write
        rows += elsewhere(path.with_suffix(".csv"), rows)
        with whole(path.with_suffix(".csv")) as file:
            file.write(as_csv(rows))
        truth_report.write(path, rows)
    else:
        print(truth_report.summary(rows))


if __name__ == "__main__":
    main()
