"""Everything that the probes say of one student, each beside its null."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.activations.phi import resolve
from widthwise.bound.measurement import Measurement
from widthwise.bound.memorisation import Memorisation
from widthwise.bound.memorisation import memorisation as coefficient
from widthwise.errors import InputError
from widthwise.probes import gaussianity, nulls, table
from widthwise.probes.memory import shuffled_r2
from widthwise.probes.overlap import overlaps
from widthwise.probes.probe import Null, Probe
from widthwise.probes.representation import LEAST_INPUTS, cka, participation, subspace
from widthwise.probes.student import Student

NUMERICALLY_ZERO = 1e-8  # ε_g/T_y below which the error is rounding, and has no law
_FRESH = 1 << 40  # added to the key: a teacher's samples of one key begin with the same inputs, those of training

_NO_TEACHER = "no teacher: what there was to find is unknown"
_NO_UNITS = "the teacher has no units to compare with"
_NO_WEIGHTS = "the student's first layer was not given: pass first_layer=W"
_NO_INPUTS = "no fresh inputs: pass X_test and y_test"


@dataclass(frozen=True)
class Report:
    """The probes of one student.

    Args:
        overlap: q, how well every teacher's unit is matched by a student's unit of its own.
        overlap_excess: (q − q₀)/(1 − q₀), q₀ the mean over random students.
        off_overlap: |cosine| of matched units with the other teacher's units.
        n90: teacher's units that some student's unit follows to |cosine| > 0.9.
        subspace: share of what the student reads that lies in the teacher's subspace.
        participation: features that the first layer has learnt.
        cka: likeness of the two hidden representations.
        kurtosis: excess kurtosis of f − f* on fresh inputs.
        negentropy: of the same, in nats.
        memorisation: m.
        shuffled_r2: fit to permuted labels.
        test_error: ε_g/T_y, of the noiseless target where the teacher is known.
        training_error: ε_t/T_y, of the labels as given.
        inputs: N0; None where unknown.
        teacher_units: M; None without a teacher, or one without units.
        width: N1; None where unknown.
        examples: P; None where the training data were not given.
        parameters: p; None where unknown.
        fresh: inputs on which errors and representations were compared.
        copy_average: for N1 < M the overlap of N1 − 1 units that copy and one that averages; else None.
    """

    overlap: Probe
    overlap_excess: Probe
    off_overlap: Probe
    n90: Probe
    subspace: Probe
    participation: Probe
    cka: Probe
    kurtosis: Probe
    negentropy: Probe
    memorisation: Probe
    shuffled_r2: Probe
    test_error: Probe
    training_error: Probe
    inputs: int | None = None
    teacher_units: int | None = None
    width: int | None = None
    examples: int | None = None
    parameters: int | None = None
    fresh: int = 0
    copy_average: float | None = None

    @property
    def probes(self) -> dict[str, Probe]:
        """Every probe by name, in the order of the table."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Probe)}

    def records(self) -> dict[str, Any]:
        """Everything as plain values, for files: a dictionary for each probe, numbers and None for the rest."""
        return {name: v.records() if isinstance(v, Probe) else v for name, v in vars(self).items()}

    @classmethod
    def of_records(cls, records: dict[str, Any]) -> Report:
        """The report again, from its records.

        Args:
            records: of `records`.
        """
        names = {field.name for field in dataclasses.fields(Probe)}
        found: dict[str, Any] = {
            name: Probe(**{k: x for k, x in v.items() if k in names}) if isinstance(v, dict) else v
            for name, v in records.items()
        }
        return cls(**found)

    def __str__(self) -> str:
        return table.text(self)


def report(
    student: Any,
    teacher: Any = None,
    *,
    X: Any = None,
    y: Any = None,
    X_test: Any = None,
    y_test: Any = None,
    memorisation: Any = None,
    shuffled: Any = None,
    fresh: int = 10_000,
    nulls: int = 200,
    key: int = 0,
) -> Report:
    """Probe a student: overlaps with its teacher, features, representation, the law of its error, and memory.

    What the student or the task lacks gives a probe without a value and with the reason.

    Args:
        student: a `Student`; of another framework, `Student.of_functions`.
        teacher: a `Teacher`, or any function of X with what it has of `units` (M, N0), `hidden(X)`, `inputs(n, key)`;
            None on real data.
        X, y: what the student learnt from (P, N0), (P,): for the training error, and for a fit handed in; known of a
            student that `train` returned.
        X_test, y_test: fresh inputs, by default drawn by the teacher; and without a teacher their labels.
        memorisation: m: a `Memorisation`, a `Measurement`, a number, or a fit(X, y) to measure it with. Left out, it is
            measured by 18 warm refits of a student that `train` returned by gradients or Gauss–Newton; False: not.
        shuffled: R² on permuted labels: a `Measurement`, a number, or such a fit.
        fresh: inputs that the teacher draws, at least 100.
        nulls: random students drawn for each null law.
        key: of the fresh inputs and the nulls.

    Returns:
        A `Report`.

    Raises:
        InputError: arrays that do not fit; X without y; a fit without X and y.
    """
    student = student if isinstance(student, Student) else Student.of_functions(student)
    draws, key = checks.whole("nulls", nulls, 2), checks.whole("key", key, 0)
    if (X is None) != (y is None):
        raise InputError("X: expected with y, got one of them; pass what the student learnt from, or neither.")
    if student.learnt is not None:
        again, *data = student.learnt
        X, y = data if X is None else (X, y)
        if memorisation is None and student.method != "posterior":
            memorisation = _from(student, again)
    x, target, noiseless = _fresh(teacher, X_test, y_test, checks.whole("fresh", fresh, 100), key)
    W, U = student.weights, _units(teacher)
    examples, trained = _training(student, X, y, target)
    found: dict[str, Any] = {
        **_weights(student, U, draws, key, teacher is None),
        "cka": _representation(student, teacher, x, draws, key),
        **_errors(student, noiseless, x, target, draws, key),
        "memorisation": _remembered(memorisation, "memorisation", coefficient, X, y, key),
        "shuffled_r2": _remembered(shuffled, "shuffled", shuffled_r2, X, y, key),
        "training_error": trained,
    }
    M, N1 = None if U is None else len(U), None if W is None else len(W)
    return Report(
        **found,
        inputs=None if W is None else int(W.shape[1]),
        teacher_units=M,
        width=N1,
        examples=examples,
        parameters=student.parameters,
        fresh=0 if target is None else len(target),
        copy_average=None if M is None or N1 is None or N1 >= M else (N1 - 1 + 1 / math.sqrt(M - N1 + 1)) / M,
    )


def _weights(student: Student, U: Any, draws: int, key: int, alone: bool) -> dict[str, Probe]:
    """Overlaps, subspace, participation."""
    names, W = ("overlap", "overlap_excess", "off_overlap", "n90", "subspace", "participation"), student.weights
    if W is None:
        return dict.fromkeys(names, Probe.missing(_NO_WEIGHTS))
    a, how = _strengths(student)
    how |= {"draws": draws, "key": key}
    features, silent = participation(W, a), Probe.missing("the student's first layer is all zero, or never read")
    if U is None:
        null = nulls.random_participation(W.shape[1], len(W), **how)
        missing = Probe.missing(_NO_TEACHER if alone else _NO_UNITS)
        return {**dict.fromkeys(names, missing), "participation": Probe.of(features, null) if features else silent}
    chance, o = nulls.random_students(U, len(W), **how), overlaps(W, U)
    q0, left = chance.overlap.mean, 1.0 - chance.overlap.mean
    excess = Probe.missing("every student overlaps fully here")
    if left > 1e-12:
        excess = Probe.of((o.overlap - q0) / left, Null(0.0, chance.overlap.deviation / left))
    one = Probe.missing("a teacher of one unit has no others")
    return {
        "overlap": Probe.of(o.overlap, chance.overlap),
        "overlap_excess": excess,
        "off_overlap": one if o.off_overlap is None else Probe.of(o.off_overlap, chance.off_overlap),
        "n90": Probe.of(o.n90, chance.n90),
        "subspace": Probe.of(subspace(W, a, U), chance.subspace),
        "participation": Probe.of(features, chance.participation) if features else silent,
    }


def _strengths(student: Student) -> tuple[Any, dict[str, Any]]:
    """How strongly each unit of the first layer is read, |a| or the norm of its column above, and of random ones.

    None where unknown: all the same, and so are those of the random students.
    """
    layers = student.layers
    if layers is None:
        return None, {"readout": "equal"}
    if len(layers) == 1:
        return student.readout, {}
    above = layers[1][0]
    return np.linalg.norm(above, axis=0), {"readers": len(above)}


def _representation(student: Student, teacher: Any, x: Any, draws: int, key: int) -> Probe:
    if teacher is None:
        return Probe.missing(_NO_TEACHER)
    if not student.has_hidden:
        return Probe.missing("the student's hidden layer was not given: pass hidden=function")
    if x is None:
        return Probe.missing(_NO_INPUTS)
    if len(x) < LEAST_INPUTS:
        return Probe.missing(f"fewer than {LEAST_INPUTS} fresh inputs")
    T = teacher.hidden(x) if hasattr(teacher, "hidden") else None
    if T is None:
        return Probe.missing("the teacher has no hidden layer")
    likeness, null = cka(student.hidden(x), T), None
    if not math.isfinite(likeness.value):
        return Probe.missing("a hidden layer does not vary")
    if student.layers is not None and len(student.layers) == 1:
        phi = resolve(student.activation)
        null = nulls.random_cka(T, x, student.weights, phi, student.biases, draws=draws, key=key)
    return Probe.of(likeness, null)


def _errors(student: Student, known: bool, x: Any, target: Any, draws: int, key: int) -> dict[str, Probe]:
    """Test error, kurtosis, negentropy. Of a posterior's student the errors are its mean predictor's."""
    names = ("test_error", "kurtosis", "negentropy")
    if target is None:
        return dict.fromkeys(names, Probe.missing(_NO_INPUTS))
    T = float(np.mean(target**2))
    if T == 0.0:
        return dict.fromkeys(names, Probe.missing("the target is zero everywhere"))
    e = _predicted(student, x, len(target)) - target
    relative = float(np.mean(e**2)) / T
    error = float(np.std(e**2 - relative * target**2)) / (T * math.sqrt(len(e)))
    found = {"test_error": Probe.of(Measurement(relative, error))}
    if not known:
        why = "the target without its noise is unknown"
    elif relative < NUMERICALLY_ZERO:
        why = "the error is numerically zero: nothing is left to be Gaussian"
    elif len(e) < 100:
        why = "fewer than 100 fresh inputs"
    elif float(np.std(e)) <= 1e-12 * float(np.abs(e).max()):
        why = "the error is the same everywhere"
    else:
        n = len(e)
        J, spread = gaussianity.negentropy(e, draws=draws, key=key), gaussianity.gaussian_negentropy(n, draws, key)
        kurtosis = Probe.of(gaussianity.excess_kurtosis(e), gaussianity.gaussian_kurtosis(n))
        return {**found, "kurtosis": kurtosis, "negentropy": Probe.of(J, Null(0.0, spread.deviation))}
    return {**found, "kurtosis": Probe.missing(why), "negentropy": Probe.missing(why)}


def _training(student: Student, X: Any, y: Any, target: Any) -> tuple[int | None, Probe]:
    """P, and ε_t/T_y of the data as given, or as the student remembers it."""
    if y is not None:
        labels = _column("y", y, len(X))
        power = float(np.mean(labels**2))
        if power == 0.0:
            return len(labels), Probe.missing("the labels are all zero")
        error = float(np.mean((_predicted(student, X, len(labels)) - labels) ** 2))
        return len(labels), Probe.of(error / power)
    T = 0.0 if target is None else float(np.mean(target**2))
    if student.training_error is None or T == 0.0:
        return None, Probe.missing("the training data were not given: pass X and y")
    return None, Probe.of(student.training_error / T)


def _from(student: Student, fit: Any) -> Any:
    """fit(X, y, start=None) whose first fit is the student itself, and whose others begin where they are told to."""

    def run(X: Any, y: Any, start: Any = None) -> Any:
        return student if start is None else fit(X, y, start=start)

    return run


def _remembered(given: Any, name: str, measure: Any, X: Any, y: Any, key: int) -> Probe:
    if given is None or given is False:
        return Probe.missing(f"not measured: pass {name}=fit, with X and y")
    if isinstance(given, Memorisation):
        return Probe.of(Measurement(given.value, given.standard_error))
    if isinstance(given, Measurement):
        return Probe.of(given)
    if callable(given) or hasattr(given, "fit"):
        if y is None:
            raise InputError(f"{name}: expected X and y beside a fit, got none; pass what the student learnt from.")
        found = measure(given, X, y, key=key)
        return Probe.of(Measurement(found.value, found.standard_error))
    value = checks.real(name, given, (0,), "one number")
    return Probe.of(float(value))


def _fresh(
    teacher: Any, X_test: Any, y_test: Any, n: int, key: int
) -> tuple[Any, Float[np.ndarray, " n"] | None, bool]:
    """Inputs that trained nothing, what is right there, and whether that is free of noise."""
    if y_test is not None and X_test is None:
        raise InputError("X_test: expected with y_test, got none; pass the inputs of these labels.")
    if teacher is not None and not callable(teacher):
        raise InputError(f"teacher: expected a Teacher or a function of X, got {type(teacher).__name__}; or None.")
    if teacher is not None and getattr(teacher, "has_function", True):
        x = X_test if X_test is not None else teacher.inputs(n, _FRESH + key) if hasattr(teacher, "inputs") else None
        return (None, None, True) if x is None else (x, _column("teacher(X)", teacher(x), len(x)), True)
    if y_test is not None:
        return X_test, _column("y_test", y_test, len(X_test)), False
    if teacher is None or teacher.size is not None:  # of data, any draw may have been learnt from
        return None, None, False
    x, target = teacher.sample(n, key=_FRESH + key)
    return x, _column("teacher's targets", target, n), True


def _units(teacher: Any) -> Any:
    units = getattr(teacher, "units", None)
    return None if units is None or np.ndim(units) != 2 else np.asarray(units, float)


def _predicted(student: Student, x: Any, n: int) -> Float[np.ndarray, " n"]:
    return _column("student(X)", student.predict(x), n)


def _column(name: str, values: Any, n: int) -> Float[np.ndarray, " n"]:
    return checks.columns(values, n, name, outputs=1)[:, 0]
