"""`make bench-gap`: the last layer's bound against trained networks, on synthetic and real data.

Every case of `gap_tasks` is trained, once, and its gap measured three ways: of the network itself, of a readout on its
trunk before any training, and of a readout refitted to the trained trunk on as many fresh examples. Rows hold raw
numbers; verdicts are the report's. What the store holds is not trained again: an interrupted run goes on.

    python bench/gap.py --data FOLDER --store gap.db --write docs/gap.md

FOLDER holds mnist.npz and cifar10_airplane_automobile.npz, each optional; the rest needs no file.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

import gap_tasks
import numpy as np
from rows import as_csv, elsewhere

import widthwise as ww
from widthwise import bound, training
from widthwise.errors import DataWarning, WidthwiseError
from widthwise.files import whole
from widthwise.store import Store, fingerprint

VERSION = 1  # of what is measured of a case
RIDGES = np.logspace(-4, 1, 6)  # in units of the features' mean power
REPEATS, STEP = 3, 0.1  # of the perturbation of the targets, and its size
AFFORDABLE = {"mlp 8": 10_000, "mlp 32": 10_000, "lenet 32": 300}  # P up to which the network's m is measured
OF_THE_REST = {"fully connected": 1000, "convolutional": 0}


def measure(case: gap_tasks.Case) -> dict[str, Any]:
    """One case: trained, refitted, frozen, perturbed."""
    started = time.perf_counter()
    (X, y), fresh, test = case.data()
    architecture, shape = case.architecture, X.shape[1:]
    network = training.train(architecture, X, y, case.settings, key=case.seed)
    now = [network.features(points[0]) for points in ((X, y), fresh, test)]
    W, b = network.readout
    f, f_fresh, f_test = (Phi @ W + b for Phi in now)
    row: dict[str, Any] = {
        "name": case.name,
        "family": case.task.family,
        "task": case.task.name,
        "architecture": architecture.name,
        "kind": "convolutional" if case.convolutional else "fully connected",
        "P": case.P,
        "fresh": len(fresh[1]),
        "test": len(test[1]),
        "N_out": len(W),
        "parameters": network.parameters.count,
        "depth": architecture.depth,
        "status": network.status,
        "steps": network.steps,
        "T_y": float(np.mean(y**2)),
    }
    row |= _errors("network", (y - f) ** 2, (test[1] - f_test) ** 2)
    if case.task.signs:
        row["wrong_t"] = float(np.mean(np.sign(f) != y))
        row["wrong_g"] = float(np.mean(np.sign(f_test) != test[1]))
    row |= _norms(network, X, shape, max(np.abs(y - f).max(), np.abs(test[1] - f_test).max()))
    row |= _asked(now, f, f_fresh, y, fresh[1])
    row |= _refitted("refit", now[1], fresh[1], now[2], test[1])
    start = architecture.init(case.seed, shape)
    at_random = [training.features(architecture, start, points[0]) for points in ((X, y), test)]
    row |= _refitted("frozen", at_random[0], y, at_random[1], test[1])
    if AFFORDABLE.get(architecture.name, OF_THE_REST[row["kind"]]) >= case.P:
        row |= _memorised(network, X, y, case)
    return row | {"seconds": time.perf_counter() - started}


def _errors(name: str, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Means and variances of the squared residuals."""
    return {
        f"{name}_error_t": float(train.mean()),
        f"{name}_error_g": float(test.mean()),
        f"{name}_variance_t": float(train.var(ddof=1)),
        f"{name}_variance_g": float(test.var(ddof=1)),
    }


def _norms(network: training.Trained, X: np.ndarray, shape: tuple[int, ...], residual: float) -> dict[str, Any]:
    """What a bound by norms asks for; the longest input with the constant that carries the biases."""
    norms = network.architecture.weight_norms(network.parameters, shape)
    return {
        "log_norms": None if norms is None else float(np.sum(np.log(norms))),
        "longest": float(np.sqrt(1.0 + np.square(X).reshape(len(X), -1).sum(axis=1).max())),
        "residual": float(residual),
    }


def _asked(now: list[np.ndarray], f: np.ndarray, f_fresh: np.ndarray, y: np.ndarray, y_fresh: np.ndarray) -> dict:
    """What the library says of it: `last_layer`, on the fresh examples."""
    report = bound.last_layer(now[0], y, f, fresh=(now[1], y_fresh, f_fresh))
    refit = report.readout_bound
    return {
        "network_size": report.effective_size,
        "said": str(report.status),
        "said_holds": report.holds,
        "refit_said": str(refit.status),
        "refit_press_gap": refit.relative_gap.value,
        "refit_press_error": refit.relative_gap.standard_error,
        "refit_press_holds": refit.holds,
        "refit_within_twice_m": refit.within_twice_m,
    }


def _refitted(name: str, Phi: np.ndarray, y: np.ndarray, Phi_test: np.ndarray, y_test: np.ndarray) -> dict[str, Any]:
    """Readouts of given features: by least squares, and with the ridge of the least left-out error."""
    scale = float(np.var(Phi, axis=0).sum()) * len(Phi) / Phi.shape[1]
    ridges = [] if scale == 0.0 else [bound.readout(Phi, y, ridge=scale * ratio) for ratio in RIDGES]
    fits = {"squares": bound.readout(Phi, y)}
    if ridges:
        fits["ridge"] = min(ridges, key=lambda fit: fit.press.value)
    row: dict[str, Any] = {}
    for kind, fit in fits.items():
        full = f"{name}_{kind}"
        row |= _errors(full, fit.residuals**2, (y_test - fit.predict(Phi_test)) ** 2)
        row |= {
            f"{full}_size": fit.effective_size,
            f"{full}_T_y": float(np.mean(y**2)),
            f"{full}_m": fit.memorisation,
            f"{full}_gcv": fit.gcv,
            f"{full}_press": fit.press.value,
            f"{full}_lambda": fit.ridge,
            f"{full}_tau": None if fit.tau is None else fit.tau.value,
            f"{full}_tau_error": None if fit.tau is None else fit.tau.standard_error,
        }
    return row


def _memorised(network: training.Trained, X: np.ndarray, y: np.ndarray, case: gap_tasks.Case) -> dict[str, Any]:
    """m of the whole network, which is trained once more from where it is, as it was."""

    def fit(X: np.ndarray, y: np.ndarray, start: training.Trained | None = None) -> training.Trained:
        if start is None:
            return network
        return training.train(network.architecture, X, y, case.settings, key=case.seed, start=start.parameters)

    found = ww.memorisation(fit, X, y, perturbation=STEP, repeats=REPEATS, key=case.seed)
    return {"m": found.value, "m_error": found.standard_error}


def rows_of(
    folder: Path | None, store: str, size: str = "cpu", limit: int | None = None, minutes: float | None = None
) -> list[dict[str, Any]]:
    """Every case, measured, as far as the time allows; what the store holds of this version is not trained again."""
    kept, found, started = Store(store), [], time.monotonic()
    for case in list(gap_tasks.cases(folder, size))[:limit]:
        key = "row " + fingerprint(VERSION, case.name, repr(case.settings))
        entry = kept.get(key)
        if entry is not None:
            found.append(dict(entry.record))
        elif minutes is None or time.monotonic() - started < 60.0 * minutes:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # dead features coincide
                try:
                    row = measure(case)
                except WidthwiseError as error:
                    print(f"{case.name}: not measured, {error}", flush=True)
                    continue
            kept.put(key, row)
            gap = row["network_error_g"] - row["network_error_t"]
            print(f"{case.name}: {row['status']}, gap {gap:.3f}, {row['seconds']:.1f} s", flush=True)
            found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WIDTHWISE_DATA"), help="folder of the files")
    parser.add_argument("--store", default="gap.db", help="where rows are kept")
    parser.add_argument("--size", choices=("cpu", "gpu"), default="cpu", help="more steps, seeds and networks on a GPU")
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced; csv and png beside it")
    parser.add_argument("--limit", type=int, help="so many cases only")
    parser.add_argument("--minutes", type=float, help="start no case after so many; the store keeps what was done")
    arguments = parser.parse_args()
    rows = rows_of(
        arguments.data and Path(arguments.data), arguments.store, arguments.size, arguments.limit, arguments.minutes
    )
    import gap_report

    if arguments.write:
        path = arguments.write
        rows += elsewhere(path.with_suffix(".csv"), rows)
        with whole(path.with_suffix(".csv")) as file:
            file.write(as_csv(rows))
        gap_report.write(path, rows)
    else:
        print(gap_report.summary(rows))


if __name__ == "__main__":
    main()
