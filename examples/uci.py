"""UCI regression tables: a network of finite width beside its infinite limit, a Gaussian process and a linear model.

    python examples/uci.py FOLDER --write docs/uci.md

FOLDER holds one `NAME.npz` per table with X (n, d) and y (n,). Splits are the customary 90/10 ones of Hernández-Lobato
and Adams 2015 (arXiv 1502.05336). Run with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.preprocessing import StandardScaler

import widthwise as ww
from widthwise.sklearn import FiniteWidthRegressor

SPLITS = {"yacht": 20, "energy": 10, "concrete": 10, "wine_red": 5}
WIDTHS = (10, 30, 100, 300, 1000)
INFINITE = 10**7  # for the choice alone; the fit then says approximation="infinite"
INPUT_PRECISIONS = np.logspace(-2.5, 1.5, 9)
READOUT_PRECISIONS = np.logspace(-3, 1, 13)
TEMPERATURES = np.logspace(-6.0, 0.0, 25)
BIAS_VARIANCE = 1.0  # without biases an erf network is an odd function

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, str]]


@dataclass(frozen=True)
class Result:
    """One model on one split: in units of y, the interval 90 % wide."""

    rmse: float
    nll: float
    coverage: float
    seconds: float
    choice: str


def splits(n: int, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The customary splits, in their order: (training rows, test rows)."""
    random, size = np.random.RandomState(1), round(0.9 * n)
    for _ in range(count):
        order = random.choice(range(n), n, replace=False)
        yield order[:size], order[size:]


def chosen(X: np.ndarray, y: np.ndarray, widths: tuple[int, ...]) -> dict[str, Any]:
    """The width, the precisions and the temperature of the largest log evidence on the training rows alone."""
    target = (y - y.mean()) / y.std()
    N, T, lam = (a.ravel() for a in np.meshgrid(widths, TEMPERATURES, READOUT_PRECISIONS))
    best, found = -np.inf, {}
    for lam0 in INPUT_PRECISIONS:
        prepared = ww.prepare(ww.FullyConnected([100], "erf", (lam0, 1.0), BIAS_VARIANCE), X)
        scan = ww.scan(prepared, target, width=N, temperature=T, readout_precision=lam, throw=False)
        evidence = np.where(scan.converged, scan.log_evidence, -np.inf)
        i = int(evidence.argmax())
        if evidence[i] > best:
            best = evidence[i]
            found = {
                "widths": (int(N[i]),),
                "weight_precisions": (float(lam0), float(lam[i])),
                "temperature": float(T[i]),
                "bias_variance": BIAS_VARIANCE,
            }
    return found


def network(widths: tuple[int, ...], approximation: str) -> Fit:
    """A network at the hyperparameters of largest log evidence."""

    def fit(X: np.ndarray, y: np.ndarray, X_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
        how = chosen(X, y, widths)
        model = FiniteWidthRegressor(**how, approximation=approximation, normalize_y=True).fit(X, y)
        mean, std = model.predict(X_test, return_std=True)
        return mean, np.sqrt(std**2 + model.noise_variance_), str(how["widths"][0])

    return fit


def gaussian_process(X: np.ndarray, y: np.ndarray, X_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Isotropic RBF and white noise, by the marginal likelihood's gradient; the noise is in its standard deviation."""
    kernel = ConstantKernel(1.0, (1e-4, 1e6)) * RBF(2.0, (1e-2, 1e4)) + WhiteKernel(0.1, (1e-8, 1e2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an optimum at a bound is used as it is
        model = GaussianProcessRegressor(kernel, alpha=1e-10, normalize_y=True).fit(X, y)
    return *model.predict(X_test, return_std=True), ""


def bayesian_ridge(X: np.ndarray, y: np.ndarray, X_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """A linear model; the noise is in its standard deviation."""
    return *BayesianRidge().fit(X, y).predict(X_test, return_std=True), ""


MODELS: dict[str, Fit] = {
    "finite width": network(WIDTHS, "saddle"),
    "infinite width": network((INFINITE,), "infinite"),
    "GaussianProcessRegressor": gaussian_process,
    "BayesianRidge": bayesian_ridge,
}


def evaluate(fit: Fit, X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> Result:
    """One model on one split, inputs standardised by its training rows."""
    start, scaler = time.process_time(), StandardScaler().fit(X[train])
    mean, std, choice = fit(scaler.transform(X[train]), y[train], scaler.transform(X[test]))
    error = y[test] - mean
    return Result(
        rmse=float(np.sqrt(np.mean(error**2))),
        nll=float(-norm.logpdf(error, scale=std).mean()),
        coverage=float(np.mean(np.abs(error) <= norm.ppf(0.95) * std)),
        seconds=time.process_time() - start,
        choice=choice,
    )


def row(table: str, count: int, model: str, results: list[Result]) -> str:
    """One line: means over the splits, with their standard errors where there are several."""

    def cell(values: list[float], digits: int, unit: float = 1.0) -> str:
        mean = f"{unit * np.mean(values):.{digits}f}"
        if len(values) < 2:
            return mean
        return f"{mean} ± {unit * np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"

    widths = sorted({r.choice for r in results}, key=lambda s: (len(s), s)) if model == "finite width" else ["–"]
    cells = (
        f"{table} ({count})",
        model,
        cell([r.rmse for r in results], 3),
        cell([r.nll for r in results], 3),
        cell([r.coverage for r in results], 1, 100.0),
        ", ".join(widths),
        f"{np.mean([r.seconds for r in results]):.1f}",
    )
    return "| " + " | ".join(cells) + " |"


HEADER = "| table (splits) | model | RMSE | NLL | coverage of 90 %, % | N chosen | CPU s a split |\n" + "|---" * 7 + "|"


def run(folder: Path, counts: dict[str, int]) -> str:
    """The whole table in Markdown, every model on the same splits."""
    lines = [HEADER]
    for name, count in counts.items():
        with np.load(folder / f"{name}.npz", allow_pickle=False) as stored:
            X, y = stored["X"].astype(float), stored["y"].astype(float)
        each = {
            model: [evaluate(fit, X, y, *split) for split in splits(len(y), count)] for model, fit in MODELS.items()
        }
        lines += [row(name, count, model, results) for model, results in each.items()]
        print("\n".join(lines[-len(MODELS) :]), flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of NAME.npz files with X and y")
    parser.add_argument("--tables", default=",".join(f"{n}:{c}" for n, c in SPLITS.items()), help="NAME:SPLITS,…")
    parser.add_argument("--write", type=Path, help="page whose table, after its marker <!-- table -->, is replaced")
    given = parser.parse_args()
    counts = {name: int(count) for name, count in (entry.split(":") for entry in given.tables.split(","))}
    table = run(given.folder, counts)
    if given.write is not None:
        head, marker, _ = given.write.read_text().partition("<!-- table -->\n")
        if not marker:
            parser.error(f"{given.write}: expected a line <!-- table -->, got none; add it.")
        given.write.write_text(f"{head}{marker}\n{table}")


if __name__ == "__main__":
    main()
