"""One task, told by the finite-width theory and by a trained network.

The theory is of a network drawn from its posterior at a temperature; the student was trained to the least training
error. They are set side by side, not fitted to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from widthwise import checks
from widthwise.bound.measurement import Measurement
from widthwise.bound.memorisation import memorisation
from widthwise.errors import InputError
from widthwise.networks import FullyConnected
from widthwise.probes.experiment import Recipe, refit
from widthwise.probes.memory import shuffled_r2
from widthwise.probes.report import Report, report
from widthwise.probes.student import Student
from widthwise.probes.train import fit, train

LINES = {
    "Q": ("order parameter Q", "1 at infinite width: what the data did to the kernel's scale"),
    "alignment_before": ("alignment with the targets, before", "of the hidden layer's kernel, at random weights"),
    "alignment_after": ("alignment with the targets, after", "1: the layer knows nothing but the labels"),
    "participation": ("features learnt", "effective number, of the first layer"),
    "memorisation": ("memorisation m", "1: by rote"),
    "training_error": ("training error / T_y", "0: every label fitted"),
    "test_error": ("test error / T_y", "1: as good as answering 0"),
}


@dataclass(frozen=True)
class Story:
    """A task in the theory's words and in the student's, by the names of `LINES`; None where it has no such word.

    Args:
        theory: of the posterior at temperature T, all errors Gibbs averages.
        student: of the trained network.
        report: the student's probes in full.
        temperature: T.
        validity: the theory's own judgement: "sound", "doubtful", "outside".
        examples: P.
        network: in words.
        trained: the student.
    """

    theory: dict[str, float | None]
    student: dict[str, float | None]
    report: Report = field(repr=False)
    temperature: float
    validity: str
    examples: int
    network: str
    trained: Student = field(repr=False)

    def records(self) -> dict[str, Any]:
        """As plain values, for files."""
        own = {name: value for name, value in vars(self).items() if name not in ("report", "trained")}
        return {**own, "report": self.report.records()}

    def __str__(self) -> str:
        head = f"{self.network}, P = {self.examples}; theory at T = {self.temperature:g} ({self.validity})"
        rows = [("", "theory", "student", "")]
        rows += [(words, _text(self.theory[n]), _text(self.student[n]), said) for n, (words, said) in LINES.items()]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        body = [f"{a:{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {said}".rstrip() for a, b, c, said in rows]
        return "\n".join([head, *body])


def story(
    network: Any,
    task: Any,
    examples: int | None = None,
    *,
    temperature: float = 1e-2,
    noise: float = 0.0,
    shuffled: float = 0.0,
    method: str = "gauss-newton",
    restarts: int = 3,
    repeats: int = 2,
    permutations: int = 0,
    fresh: int = 2000,
    key: int = 0,
    student: Student | None = None,
    **settings: Any,
) -> Story:
    """What the finite-width theory says of a task, beside what a trained student of the same architecture did.

    Theory: `ww.infer` on the training data: Q, alignment before and after, m̄ and predicted errors.
    Student: the same alignment of ΦΦᵀ of its hidden layer, of random weights before; m by warm refits; its errors.

    Assumes: the theory's network is in its prior's units, the student is not: alignments have no scale, Q is the
        theory's alone. Its "before" is that of the weights a student begins with, at the network's own scale.

    Args:
        network: FullyConnected.
        task: a `Teacher`, or (X, y, X_test, y_test).
        examples: P, of a teacher.
        temperature: T of the theory.
        noise, shuffled: of a teacher's labels.
        method, restarts, settings: of `train`.
        repeats: pairs of refits for m; 0: not measured.
        permutations: refits to permuted labels for the shuffled R²; 0: not measured.
        fresh: test inputs.
        key: of data, weights and refits.
        student: one that is trained already; else it is trained here.

    Returns:
        A `Story`; print it.

    Raises:
        InputError: as `infer` and `train`; no P of a teacher; a network without one output.
    """
    if not isinstance(network, FullyConnected):
        raise InputError(f"network: expected FullyConnected, got {type(network).__name__}; theory and student need it.")
    X, y, X_test, y_test, teacher = _task(task, examples, noise, shuffled, fresh, checks.whole("key", key, 0))
    recipe = Recipe(method=method, restarts=restarts, repeats=repeats, key=key, settings=settings)
    student = (
        train(network, X, y, method=method, restarts=restarts, key=key, **settings) if student is None else student
    )
    m = memorisation(refit(network, student, recipe, key), X, y, repeats=repeats, key=key) if repeats else None
    how: dict[str, Any] = {"method": method, "restarts": restarts, "key": key, **settings}
    R2 = shuffled_r2(fit(network, **how), X, y, repeats=permutations, key=key) if permutations else None
    known = {"X": X, "y": y, "X_test": X_test, "y_test": y_test}
    found = report(student, teacher, **known, memorisation=m or False, shuffled=R2, key=key)
    theory, validity = _theory(network, X, y, X_test, y_test, temperature)
    own: dict[str, float | None] = {
        "Q": None,
        "alignment_before": _random(network, X, y, key),
        "alignment_after": alignment(student.hidden(X), y) if student.has_hidden else None,
        **{name: getattr(found, name).value for name in list(LINES)[3:]},
    }
    return Story(theory, own, found, temperature, validity, len(y), network.name, student)


def alignment(features: Any, y: Any) -> float:
    """⟨ΦΦᵀ, yyᵀ⟩_F/(‖ΦΦᵀ‖_F |y|²) = |Φᵀy|²/(‖ΦᵀΦ‖_F |y|²).     [Cristianini et al. 2001, NeurIPS 14]

    Args:
        features: Φ (P, N).
        y: targets (P,).

    Raises:
        InputError: features or targets all zero.
    """
    Phi = checks.features(features, "features")
    target = checks.columns(y, len(Phi), "y", outputs=1)[:, 0]
    gram, power = np.linalg.norm(Phi.T @ Phi), float(target @ target)
    if gram == 0.0 or power == 0.0:
        raise InputError("features: expected features and targets that are not all zero, got zeros; nothing to align.")
    return float(np.sum((Phi.T @ target) ** 2) / (gram * power))


def _theory(
    network: FullyConnected, X: Any, y: Any, X_test: Any, y_test: Any, temperature: float
) -> tuple[dict[str, float | None], str]:
    from widthwise.posterior import infer
    from widthwise.posterior.sources import is_linear

    # by one scale of the kernel, also where neurons specialise: that is what the story is about
    name = "integrated" if is_linear(network) else "saddle"
    posterior = infer(network, X, y, temperature=temperature, approximation=name)
    Q = np.asarray(posterior.order_parameters["Q"], float)
    aligned: dict[str, float | None] = {"alignment_before": None, "alignment_after": None}
    try:
        found = posterior.alignment()
        aligned = {"alignment_before": float(found.before), "alignment_after": float(found.after)}
    except InputError:  # several layers with biases: no formula was verified
        pass
    power, scale = float(np.mean(y_test**2)), float(np.mean(y**2))
    return {
        "Q": float(Q[-1]) if Q.ndim == 1 else None,
        **aligned,
        "participation": None,
        "memorisation": float(posterior.memorisation),
        "training_error": float(posterior.training_error.total) / scale,
        "test_error": float(posterior.score(X_test, y_test).total) / power,
    }, str(posterior.validity.verdict)


def _random(network: FullyConnected, X: Any, y: Any, key: int) -> float:
    """Of the last layer as the prior draws it."""
    random, h = np.random.default_rng([key, 1]), X
    precisions = np.broadcast_to(network.weight_precisions, network.depth + 1)[:-1]
    for N, precision, variance in zip(network.widths, precisions, network.bias_variances):
        W = random.standard_normal((N, h.shape[1])) / np.sqrt(h.shape[1] * precision)
        h = np.asarray(network.phi(h @ W.T + np.sqrt(variance) * random.standard_normal(N)), float)
    return alignment(h, y)


def _task(task: Any, examples: Any, noise: float, shuffled: float, fresh: int, key: int) -> tuple[Any, ...]:
    if hasattr(task, "split"):
        if examples is None:
            raise InputError("examples: expected P beside a teacher, got none; pass e.g. examples=200.")
        left = fresh if task.size is None else min(fresh, task.size - examples)
        known = task if task.has_function else None
        return *task.split(examples, left, noise=noise, shuffled=shuffled, key=key), known
    if not isinstance(task, tuple | list) or len(task) != 4:
        raise InputError("task: expected a Teacher, or (X, y, X_test, y_test); pass one of them.")
    X, X_test = checks.features(task[0], "X"), checks.features(task[2], "X_test")
    y, y_test = (checks.columns(v, len(x), name, outputs=1)[:, 0] for v, x, name in
                 ((task[1], X, "y"), (task[3], X_test, "y_test")))  # fmt: skip
    return X, y, X_test, y_test, None


def _text(value: float | None) -> str:
    return "–" if value is None else str(Measurement(value, 0.0)) if abs(value) >= 1e-12 else f"{value:.1e}"
