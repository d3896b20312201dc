"""`make evidence`: real networks, sampled, beside their predictions, on real data at loads 0.25, 1 and 4.

Digits are embedded. MNIST and CIFAR-10 join where their files are given, as .npz with X_train, y_train, X_test, y_test:
    python bench/evidence.py --mnist mnist.npz --cifar cifar10_airplane_automobile.npz --write docs/evidence.md
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from problems import exists, images

import widthwise as ww

EVEN, ODD = (0, 2, 4, 6, 8), (1, 3, 5, 7, 9)
P, TEST = 64, 500


def tasks(mnist: str | None, cifar: str | None):
    """(name, data) of every two-class problem at hand."""
    yield "digits 0/1", tuple(ww.load_data("digits", classes=(0, 1), train_size=P, test_size=290, seed=1))
    yield "digits odd/even", tuple(ww.load_data("digits", classes="parity", train_size=P, test_size=TEST, seed=1))
    if exists(mnist):
        yield "MNIST odd/even", images(str(mnist), P, TEST, (EVEN, ODD), seed=1)
        yield "MNIST 0/1", images(str(mnist), P, TEST, ((0,), (1,)), seed=1)
    if exists(cifar):
        yield "CIFAR-10 airplane/automobile", images(str(cifar), P, TEST, ((0,), (1,)), seed=1)


def networks(mnist: str | None, cifar: str | None):
    """(task, data, activation, widths, temperature) of every row: one layer first, then several."""
    problems = list(tasks(mnist, cifar))
    for T in (0.1, 0.01):
        for name, data in problems:
            for activation in ("erf", "relu") if T == 0.1 else ("erf",):
                for N in (4 * P, P, P // 4):
                    yield name, data, activation, (N,), T
    for name, data in problems:
        if "odd/even" in name or "CIFAR" in name:
            for activation, widths in (
                ("erf", (4 * P,) * 2),
                ("erf", (P,) * 2),
                ("erf", (P,) * 3),
                ("relu", (P,) * 2),
            ):
                yield name, data, activation, widths, 0.1


def measure(name, data, activation, widths, T, chains, draws) -> dict:
    """One network: every approximation beside the sampled posterior."""
    X, y, X_test, y_test = data
    network = ww.FullyConnected(widths, activation)
    start = time.process_time()
    samples = ww.sample(
        network,
        X,
        y,
        X_test,
        y_test,
        temperature=T,
        sampler=ww.CollapsedHMC(chains=chains, draws=draws, warmup=max(300, draws // 2)),
        key=7,
        throw=False,
    )
    seconds = time.process_time() - start
    row = {"task": name, "activation": activation, "widths": list(widths), "T": T, "seconds": seconds}
    g, t = samples.generalisation_error, samples.training_error
    row |= {"sampled": g.value, "se": g.standard_error, "ess": g.ess, "rhat": g.rhat}
    row |= {"sampled_t": t.value, "se_t": t.standard_error, "status": str(samples.diagnostics.status)}
    mean = samples.predict(X_test).mean
    row["sampled_mean_error"] = float(np.mean((y_test - mean) ** 2))
    for approximation in ("infinite", "saddle", "integrated"):
        posterior = ww.infer(network, X, y, temperature=T, approximation=approximation)
        prediction = posterior.predict(X_test)
        row[approximation] = posterior.score(X_test, y_test).total
        row[f"{approximation}_t"] = posterior.training_error.total
        row[f"{approximation}_distance"] = float(np.sqrt(np.mean((prediction.mean - mean) ** 2)))
    row |= {"product": posterior.validity.product, "verdict": posterior.validity.verdict}
    return row


def off(row: dict, name: str, part: str = "") -> str:
    """How far a prediction is from the sampled error, per cent of it."""
    return f"{100 * (row[name + part] / row['sampled' + part] - 1):+.1f} %"


def table(rows: list[dict]) -> list[str]:
    """The rows as Markdown."""
    out = [
        "| task | φ | T | P/N | ρτ | sampled ε_g | infinite | saddle | z | integrated "
        "| sampled ε_t | infinite | saddle | ‖Δ⟨f⟩‖ infinite | saddle |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        cells = [
            r["task"],
            r["activation"],
            f"{r['T']:g}",
            f"{P}/{'-'.join(map(str, r['widths']))}",
            f"{r['product']:.2f} {r['verdict']}",
            f"{r['sampled']:.4f} ± {r['se']:.4f}" + ("" if r["status"] == "mixed" else f" (R-hat {r['rhat']:.2f})"),
            off(r, "infinite"),
            f"**{off(r, 'saddle')}**",
            f"{(r['sampled'] - r['saddle']) / r['se']:+.1f}",
            off(r, "integrated"),
            f"{r['sampled_t']:.4f} ± {r['se_t']:.4f}",
            off(r, "infinite", "_t"),
            off(r, "saddle", "_t"),
            f"{r['infinite_distance']:.3f}",
            f"{r['saddle_distance']:.3f}",
        ]
        out.append("| " + " | ".join(cells) + " |")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", default=os.environ.get("WIDTHWISE_MNIST"))
    parser.add_argument("--cifar", default=os.environ.get("WIDTHWISE_CIFAR"))
    parser.add_argument("--write", help="the Markdown file whose table is replaced")
    parser.add_argument(
        "--rows", default="evidence.jsonl", help="rows already measured are read from here, new ones added"
    )
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--draws", type=int, default=600)
    arguments = parser.parse_args()
    store = Path(arguments.rows)
    rows = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    done = {(r["task"], r["activation"], tuple(r["widths"]), r["T"]) for r in rows}
    for name, data, activation, widths, T in networks(arguments.mnist, arguments.cifar):
        if (name, activation, widths, T) in done:
            continue
        row = measure(name, data, activation, widths, T, arguments.chains, arguments.draws)
        rows.append(row)
        with store.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(table([row])[-1], f"{row['seconds']:.0f} s", row["status"], flush=True)
    if arguments.write:
        path = Path(arguments.write)
        text = path.read_text() if path.exists() else "<!-- table -->\n<!-- end -->\n"
        head, rest = text.split("<!-- table -->")
        tail = rest.split("<!-- end -->")[1]
        path.write_text(head + "<!-- table -->\n\n" + "\n".join(table(rows)) + "\n\n<!-- end -->" + tail)


if __name__ == "__main__":
    main()
