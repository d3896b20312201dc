"""The loss that infinitely many data would leave: a function of the overlaps of student and teacher alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.activations.abstract_dual import AbstractDual
from widthwise.activations.duals import dual_of
from widthwise.activations.mixed import MixedDual, mixed_dual, products
from widthwise.activations.phi import Activation, resolve
from widthwise.errors import InputError
from widthwise.probes.teachers.one_hidden_layer import OneHiddenLayer
from widthwise.probes.teachers.teacher import Teacher


@dataclass(frozen=True)
class Population:
    """L(W, a) = E(f_S − f*)² over x ~ N(0, 1), and its gradient.

        L = aᵀκ(Q)a − 2aᵀκ(R)v + vᵀκ(T)v,   Q = WWᵀ, R = gWUᵀ, T = g²UUᵀ      [Saad, Solla 1995, Phys. Rev. E 52, 4225]

    κ the dual kernel; theirs is erf(h/√2), readouts 1 and half of L.

    Args:
        targets: T's rows g u_k (M, D).
        readout: v (M,).
        own: κ of two student units.
        cross: κ of a student and a teacher unit.
        power: E f*² = vᵀκ(T)v.
    """

    targets: Float[np.ndarray, "M D"]
    readout: Float[np.ndarray, "M"]
    own: AbstractDual
    cross: MixedDual
    power: float

    def loss(self, W: Float[np.ndarray, "N1 D"], a: Float[np.ndarray, "N1"]) -> float:
        """L, to some 1e-16 of its largest term: next to a perfect student it may come out below zero by that."""
        K, k = self.kernels(W)
        return float(a @ K @ a - 2 * a @ k @ self.readout) + self.power

    def kernels(self, W: Float[np.ndarray, "N1 D"]) -> tuple[Float[np.ndarray, "N1 N1"], Float[np.ndarray, "N1 M"]]:
        """κ(Q) and κ(R)."""
        return self.own.kappa(*products(W, W)), self.cross.kappa(*products(W, self.targets))

    def best_readout(self, W: Float[np.ndarray, "N1 D"]) -> Float[np.ndarray, "N1"]:
        """argmin_a L(W, a), the smallest of several."""
        K, k = self.kernels(W)
        return np.linalg.lstsq(K, k @ self.readout, rcond=1e-10)[0]

    def value_and_gradient(
        self, W: Float[np.ndarray, "N1 D"], a: Float[np.ndarray, "N1"]
    ) -> tuple[float, Float[np.ndarray, "N1 D"], Float[np.ndarray, "N1"]]:
        """L, ∂L/∂W and ∂L/∂a.

        ∂L/∂w_i = 2a_i [ Σ_{j≠i} a_j (2κ_xx w_i + κ_xy w_j) + a_i κ'(Q_ii) w_i − Σ_k v_k (2κ_xx w_i + κ_xy g u_k) ]

        The unit with itself moves along the kernel's diagonal, whose slope is exact; two different relu units that
        coincide, or are opposite, have κ_xy to 1e-8 (arcsin at ±1), and so has the gradient there.
        """
        v = self.readout
        K, k = self.kernels(W)
        value = float(a @ K @ a - 2 * a @ k @ v) + self.power
        xx, xy, _ = self.own.partials(*products(W, W))
        np.fill_diagonal(xx, 0.5 * self.own.diagonal_slope((W * W).sum(1)))
        np.fill_diagonal(xy, 0.0)
        yx, yy, _ = self.cross.partials(*products(W, self.targets))
        along = 2 * (xx @ a - yx @ v)
        slope = 2 * a[:, None] * (along[:, None] * W + (xy * a) @ W - (yy * v) @ self.targets)
        return value, slope, 2 * (K @ a - k @ v)


def population_of(teacher: Any, activation: Any = None) -> tuple[Population, Activation]:
    """The loss of students of a teacher, and their activation.

    Args:
        teacher: one hidden layer: `units` (M, N0), `readout` (M,), `activation`, `gain`; inputs N(0, 1).
        activation: of the students; None for the teacher's.

    Raises:
        InputError: the teacher lacks one of them, or its units and readout do not match.
    """
    if isinstance(teacher, Teacher) and not isinstance(teacher, OneHiddenLayer):
        raise InputError(
            f"teacher: expected one hidden layer on Gaussian inputs, got {teacher.name}; use Teacher.one_hidden_layer."
        )
    missing = [name for name in ("units", "readout", "activation", "gain") if getattr(teacher, name, None) is None]
    if missing:
        raise InputError(
            f"teacher: expected one hidden layer (units, readout, activation, gain), got {type(teacher).__name__} "
            f"without {', '.join(missing)}; use Teacher.one_hidden_layer."
        )
    U, v = np.asarray(teacher.units, float), np.asarray(teacher.readout, float)
    if U.ndim != 2 or v.shape != U.shape[:1] or not (np.isfinite(U).all() and np.isfinite(v).all()):
        raise InputError(
            f"teacher: expected finite units (M, N0) and readout (M,), got shapes {U.shape} and {v.shape}; "
            "use Teacher.one_hidden_layer."
        )
    psi = resolve(teacher.activation)
    phi = psi if activation is None else resolve(activation)
    T = float(teacher.gain) * U
    power = float(v @ np.asarray(dual_of(psi).kappa(*products(T, T))) @ v)
    return Population(T, v, dual_of(phi), mixed_dual(phi, psi), power), phi


def _student(W: Any, a: Any, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    W, a = np.asarray(W, float), np.asarray(a, float)
    if W.ndim != 2 or W.shape[1] != inputs or a.shape != W.shape[:1]:
        raise InputError(
            f"student: expected weights (N1, {inputs}) and readout (N1,), got shapes {W.shape} and {a.shape}; "
            "one row of weights per hidden unit, the teacher's number of inputs."
        )
    if not (np.isfinite(W).all() and np.isfinite(a).all()):
        raise InputError("student: expected finite weights and readout, got NaN or inf; did its training diverge?")
    return W, a


def population_loss(W: Any, a: Any, teacher: Any, *, activation: Any = None) -> float:
    """E(f_S − f*)² over x ~ N(0, 1) of the student f_S(x) = Σ_i a_i φ(w_i·x), exactly, without data.

        L = Σ_ij a_i a_j κ(w_i, w_j) − 2 Σ_ik a_i v_k κ(w_i, g u_k) + Σ_kl v_k v_l κ(g u_k, g u_l)

    κ the dual kernel, of two activations where they differ.                   [Saad, Solla 1995, Phys. Rev. E 52, 4225]

    Assumes: one hidden layer, no biases, noiseless targets (label noise σ² adds σ²).

    Args:
        W: first-layer weights (N1, N0), unscaled.
        a: readout (N1,).
        teacher: `Teacher.one_hidden_layer`, or anything with `units`, `readout`, `activation`, `gain`.
        activation: the student's; None for the teacher's.

    Returns:
        At least 0; relative to the teacher's power it is known to about 1e-15.

    Raises:
        InputError: shapes that do not match, or a teacher of another kind.
        NumericalError: two different activations whose common expansion does not converge.
    """
    population, _ = population_of(teacher, activation)
    return max(population.loss(*_student(W, a, population.targets.shape[1])), 0.0)


def population_gradient(
    W: Any, a: Any, teacher: Any, *, activation: Any = None
) -> tuple[Float[np.ndarray, "N1 N0"], Float[np.ndarray, "N1"]]:
    """∂L/∂W and ∂L/∂a of `population_loss`, in closed form; arguments and errors as there."""
    population, _ = population_of(teacher, activation)
    _, slope, readout = population.value_and_gradient(*_student(W, a, population.targets.shape[1]))
    return slope, readout
