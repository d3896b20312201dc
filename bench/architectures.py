"""`make evidence`, second table: depth by every closure, several outputs, patches; sampled and predicted.

Digits are embedded. MNIST and CIFAR-10 join where their files are given, as for evidence.py:
    python bench/architectures.py --mnist mnist.npz --cifar cifar10_airplane_automobile.npz --write docs/evidence.md
Each network is sampled once and kept in `--rows`; what is predicted is computed anew from there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from problems import exists, images

import widthwise as ww

EVEN, ODD = (0, 2, 4, 6, 8), (1, 3, 5, 7, 9)
P, TEST, T = 64, 500, 0.1
CLOSURES = ("global", "nested", "linearised")


def problems(mnist: str | None, cifar: str | None) -> Iterator[tuple[str, tuple, int]]:
    """(name, data, side of the grey images) of every two-class problem at hand."""
    yield "digits odd/even", tuple(ww.load_data("digits", classes="parity", train_size=P, test_size=TEST, seed=1)), 8
    if exists(mnist):
        yield "MNIST odd/even", images(str(mnist), P, TEST, (EVEN, ODD), seed=1), 28
    if exists(cifar):
        yield "CIFAR-10 airplane/automobile", images(str(cifar), P, TEST, ((0,), (1,)), seed=1), 32


def three_classes(path: str) -> tuple[np.ndarray, ...]:
    """MNIST 0, 1, 2, one-hot."""
    return tuple(ww.load_data(path, classes=(0, 1, 2), train_size=P, test_size=TEST, seed=1))


def networks(mnist: str | None, cifar: str | None) -> Iterator[tuple[str, str, tuple, Any]]:
    """(group, task, data, network) of every row."""
    two = list(problems(mnist, cifar))
    for depth in (2, 3):
        for name, data, _ in two:
            for N in (4 * P, P, P // 4):
                yield "depth", name, data, ww.FullyConnected((N,) * depth, "erf")
    three = [("digits 0, 1, 2", tuple(ww.load_data("digits", classes=(0, 1, 2), train_size=P, test_size=400, seed=1)))]
    if exists(mnist):
        three.append(("MNIST 0, 1, 2", three_classes(str(mnist))))
    for name, data in three:
        for widths in ((4 * P,), (P,), (P // 4,), (P, P)):
            yield "outputs", name, data, ww.FullyConnected(widths, "erf")
    for name, (X, y, X_test, y_test), side in two:
        shape = (-1, side, side)
        data = (X.reshape(shape), y, X_test.reshape(shape), y_test)
        for N in (4 * P, P, P // 4):
            yield "patches", name, data, ww.Convolutional(N, side // 4, activation="erf")
        yield "patches", name, data, ww.Convolutional(P, side // 4, activation="erf", readout="average")


def sampled(network: Any, data: tuple, chains: int, draws: int) -> dict:
    """The sampled network's errors and mean predictor."""
    start = time.process_time()
    sampler = ww.CollapsedHMC(chains=chains, draws=draws, warmup=max(300, draws // 2))
    samples = ww.sample(network, *data, temperature=T, sampler=sampler, key=7, throw=False)
    g, t = samples.generalisation_error, samples.training_error
    return {
        "seconds": time.process_time() - start, "status": str(samples.diagnostics.status), "rhat": g.rhat,
        "ess": g.ess, "g": g.value, "se_g": g.standard_error, "t": t.value, "se_t": t.standard_error,
        "mean": np.round(samples.predict(data[2]).mean, 6).tolist(),
    }  # fmt: skip


def theories(group: str, network: Any) -> list[tuple[str, Any, str]]:
    """(name, network, approximation) of what stands beside a row."""
    if group == "depth":
        return [(closure, replace(network, closure=closure), "saddle") for closure in CLOSURES]
    return [(name, network, name) for name in ("saddle", "integrated")]


def predicted(network: Any, data: tuple, approximation: str, row: dict) -> dict | None:
    """Deviations of one theory from the sampled row; None outside its domain."""
    X, y, X_test, y_test = data
    start = time.process_time()
    try:
        posterior = ww.infer(network, X, y, temperature=T, approximation=approximation)
    except ww.NumericalError:
        return None
    prediction = posterior.predict(X_test)
    return {
        "g": posterior.score(X_test, y_test).total / row["g"] - 1.0,
        "t": posterior.training_error.total / row["t"] - 1.0,
        "distance": float(np.sqrt(np.mean((prediction.mean - np.array(row["mean"])) ** 2))),
        "product": posterior.validity.product, "verdict": posterior.validity.verdict,
        "seconds": time.process_time() - start,
    }  # fmt: skip


def cell(found: dict | None) -> str:
    """Test error, training error, distance of the mean predictor."""
    if found is None:
        return "no domain"
    return f"{100 * found['g']:+.1f}, {100 * found['t']:+.1f}, {found['distance']:.3f}"


def tables(rows: list[dict]) -> list[str]:
    """One Markdown table for each group."""
    out = []
    for group, title in (
        ("depth", "Several layers, each closure"),
        ("outputs", "Three outputs"),
        ("patches", "Patches"),
    ):
        chosen = [row for row in rows if row["group"] == group]
        if not chosen:
            continue
        names = list(chosen[0]["theory"])
        out += [f"### {title}", "", "| task | network | ρτ | sampled ε_g | sampled ε_t | " + " | ".join(names) + " |"]
        out.append("|---" * (5 + len(names)) + "|")
        for r in chosen:
            known = next((found for name, found in r["theory"].items() if found and name != "infinite"), None)
            mixed = "" if r["status"] == "mixed" else f" (R-hat {r['rhat']:.2f})"
            cells = [
                r["task"], r["network"],
                "–" if known is None else f"{known['product']:.2f} {known['verdict']}",
                f"{r['g']:.4f} ± {r['se_g']:.4f}{mixed}", f"{r['t']:.4f} ± {r['se_t']:.4f}",
                *(cell(found) for found in r["theory"].values()),
            ]  # fmt: skip
            out.append("| " + " | ".join(cells) + " |")
        out.append("")
    return out


def short(network: Any) -> str:
    """P/N of every layer, or channels on patches."""
    if isinstance(network, ww.Convolutional):
        pooled = ", average" if network.readout == "average" else ""
        return f"{P}/{network.channels}, {network.patch[0]}x{network.patch[1]} patches{pooled}"
    return f"{P}/{'-'.join(map(str, network.widths))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", default=os.environ.get("WIDTHWISE_MNIST"))
    parser.add_argument("--cifar", default=os.environ.get("WIDTHWISE_CIFAR"))
    parser.add_argument("--write", help="the Markdown file whose second table is replaced")
    parser.add_argument("--rows", default="architectures.jsonl", help="networks already sampled; new ones are added")
    parser.add_argument("--groups", default="depth,outputs,patches")
    parser.add_argument("--tasks", default="", help="only tasks whose name has one of these words in it: MNIST,CIFAR")
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--only-sample", action="store_true", help="sample, predict nothing")
    parser.add_argument("--only-predict", action="store_true", help="predict what was sampled before, sample nothing")
    arguments = parser.parse_args()
    store = Path(arguments.rows)
    known = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    found = {(row["group"], row["task"], row["network"]): row for row in known}
    rows = []
    for group, task, data, network in networks(arguments.mnist, arguments.cifar):
        key = (group, task, short(network))
        if not any(word in task for word in arguments.tasks.split(",")):
            continue
        if key not in found and group in arguments.groups.split(",") and not arguments.only_predict:
            row = dict(zip(("group", "task", "network"), key)) | sampled(
                network, data, arguments.chains, arguments.draws
            )
            found[key] = row
            with store.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(key, f"{row['g']:.4f} ± {row['se_g']:.4f}", row["status"], f"{row['seconds']:.0f} s", flush=True)
        if key in found and not arguments.only_sample:
            row = found[key]
            beside = [("infinite", network, "infinite"), *theories(group, network)]
            row["theory"] = {name: predicted(one, data, how, row) for name, one, how in beside}
            rows.append(row)
            print(key, {name: cell(one) for name, one in row["theory"].items()}, flush=True)
    if arguments.write:
        path = Path(arguments.write)
        head, rest = path.read_text().split("<!-- architectures -->")
        tail = rest.split("<!-- end architectures -->")[1]
        body = "<!-- architectures -->\n\n" + "\n".join(tables(rows)) + "\n<!-- end architectures -->"
        path.write_text(head + body + tail)


if __name__ == "__main__":
    main()
