"""What every teacher answers, and how each is made."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.errors import InputError
from widthwise.probes.teachers.labels import noisy, shuffle
from widthwise.probes.teachers.streams import Stream, generator

Inputs = Float[np.ndarray, "n *shape"]
Targets = Float[np.ndarray, "n *D"]


class Teacher(abc.ABC):
    """A task whose answer is known: a law of inputs, and targets y = f*(x). Frozen; the same key, the same task.

    Made by its static methods; each names the family whose docstring has the law. What a family does not have (units,
    a spectrum, …) is None. Arrays cannot be written to.
    """

    units: Float[np.ndarray, "M N0"] | None  # u_k, the directions that matter, |u_k| = 1
    readout: Float[np.ndarray, "T"] | None  # f*(x) = hidden(x)·readout
    activation: Any  # its name, or the callable
    gain: float | None
    has_function: bool = True  # whether teacher(X) exists at any X

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """In words, for tables."""

    @property
    @abc.abstractmethod
    def input_size(self) -> int:
        """N0."""

    @property
    def outputs(self) -> int:
        """D."""
        return 1

    @property
    def size(self) -> int | None:
        """How many examples there are; None for as many as you like."""
        return None

    @property
    @abc.abstractmethod
    def mean(self) -> float | Float[np.ndarray, "D"] | None:
        """E y, of noiseless targets; None where not known in closed form."""

    @property
    @abc.abstractmethod
    def power(self) -> float | None:
        """T_y = E y², over outputs summed, of noiseless targets; None where not known in closed form."""

    @property
    def input_mean(self) -> Float[np.ndarray, "N0"]:
        """E x."""
        return np.zeros(self.input_size)

    @property
    def input_covariance(self) -> Float[np.ndarray, "N0 N0"]:
        """Cov x."""
        return np.eye(self.input_size)

    @abc.abstractmethod
    def spectrum(self, degree: int = 8) -> Float[np.ndarray, "degrees"] | None:
        """The power of f*'s part of each Hermite degree 0 … `degree`; over all degrees it adds up to `power`.

        Args:
            degree: the highest, 0 … 500.
        """

    @abc.abstractmethod
    def _hidden(self, X: Any) -> Float[np.ndarray, "n T"] | None:
        """`hidden` of checked inputs."""

    @abc.abstractmethod
    def _targets(self, X: Any) -> Targets:
        """f* of checked inputs."""

    def _draw(self, n: int, key: int) -> tuple[Inputs, Targets]:
        """Inputs and noiseless targets; those of a smaller n come first."""
        X = generator(Stream.INPUTS, key).standard_normal((n, self.input_size))
        return X, self._targets(X)

    def __call__(self, X: Any) -> Targets:
        """f*(x) = E[y | x], without noise.

        Args:
            X: (n, N0).

        Raises:
            InputError: another shape, numbers that are not finite, or nobody knows f* (`has_function`).
        """
        if not self.has_function:
            raise InputError(
                f"teacher: expected one whose targets are a function of x, got {self.name}; "
                "take inputs and targets together, from teacher.sample(n, key=…)."
            )
        return self._targets(self._checked(X))

    def hidden(self, X: Any) -> Float[np.ndarray, "n T"] | None:
        """The hidden representation h with f*(x) = h(x)·readout; None where there is none.

        Args:
            X: (n, N0).
        """
        return self._hidden(self._checked(X)) if self.has_function else None

    def inputs(self, n: int, key: int = 0) -> Inputs:
        """n inputs; those of `sample(n, key=key)`.

        Args:
            n: how many, at least 1.
            key: the seed.
        """
        return self._checked_draw(n, key)[0]

    def sample(self, P: int, *, noise: float = 0.0, shuffled: float = 0.0, key: int = 0) -> tuple[Inputs, Targets]:
        """P examples (X, y): y = f*(x), then shuffled, then made noisy.

        The first P inputs and noiseless targets of a key are the same for every P, noise and shuffle.

        Args:
            P: how many, at least 1; of data at most as many as there are.
            noise: σ ≥ 0 of Gaussian label noise, a standard deviation in y's own units.
            shuffled: the fraction of labels permuted among themselves, 0 … 1.
            key: the seed; streams of teachers and samples never meet, so equal keys do no harm.

        Raises:
            InputError: P < 1, P beyond the data, noise < 0, a fraction outside 0 … 1.
        """
        X, y = self._checked_draw(P, key)
        return X, noisy(shuffle(y, shuffled, key), noise, key)

    def split(
        self, P: int, test: int, *, noise: float = 0.0, shuffled: float = 0.0, key: int = 0
    ) -> tuple[Inputs, Targets, Float[np.ndarray, "m *shape"], Float[np.ndarray, "m *D"]]:
        """(X, y, X_test, y_test): `sample(P, …)`, and `test` others whose labels are left as they are.

        Of data no row is in both parts; samples of two keys may share some.

        Args:
            P, test: how many, each at least 1.
            noise, shuffled, key: as in `sample`.
        """
        P, test = checks.whole("P", P, 1), checks.whole("test", test, 1)
        X, y = self._checked_draw(P + test, key)
        return X[:P], noisy(shuffle(y[:P], shuffled, key), noise, key), X[P:], y[P:]

    def _checked_draw(self, n: int, key: int) -> tuple[Inputs, Targets]:
        n, key = checks.whole("number of examples", n, 1), checks.whole("key", key, 0)
        if self.size is not None and n > self.size:
            raise InputError(f"number of examples: expected at most all {self.size}, got {n}; ask for fewer.")
        return self._draw(n, key)

    def _checked(self, X: Any) -> Float[np.ndarray, "n N0"]:
        X = checks.real("X", X, (2,), "(examples, inputs)")
        if X.shape[1] != self.input_size:
            raise InputError(f"X: expected {self.input_size} inputs, as the teacher has, got {X.shape[1]}; same task?")
        return X

    @staticmethod
    def one_hidden_layer(
        inputs: int,
        units: int,
        *,
        activation: Any = "erf",
        gain: float = 2.0,
        orthonormal: bool = True,
        readout: Any = None,
        key: int = 0,
    ) -> Teacher:
        """f*(x) = Σ_k v_k φ(g u_k·x), x ~ N(0, 1).     [`one_hidden_layer.OneHiddenLayer`]

        A small gain is nearly linear: of three orthonormal erf units, one unit along their sum misses 2 % of the power
        at g = 0.5, 8 % at 1, 18 % at 2. Where one unit does, overlaps say nothing.

        Args:
            inputs: N0.
            units: M; at most N0 where orthonormal.
            activation: φ, any of the library or a callable.
            gain: g > 0.
            orthonormal: an orthonormal frame; else each u_k uniform on the sphere.
            readout: None (1/√M each), "random" (N(0, 1/M)), a number, or M of them.
            key: the seed.

        Raises:
            InputError: M > N0 orthonormal units, an unknown activation, g ≤ 0, sizes below 1, another readout.
        """
        from widthwise.probes.teachers.one_hidden_layer import draw

        return draw(inputs, units, activation, gain, orthonormal, readout, key)

    @staticmethod
    def linear(inputs: int, *, gain: float = 1.0, key: int = 0) -> Teacher:
        """f*(x) = g u·x, x ~ N(0, 1): one unit without a non-linearity; its power is g².

        Args:
            inputs: N0.
            gain: g > 0.
            key: the seed.
        """
        from widthwise.probes.teachers.one_hidden_layer import draw

        return draw(inputs, 1, "identity", gain, True, None, key)

    @staticmethod
    def single_index(inputs: int, coefficients: Any, *, key: int = 0) -> Teacher:
        """f*(x) = Σ_j c_j h_j(u·x), x ~ N(0, 1), h_j = He_j/√j!.     [`index.Index`]

        Args:
            inputs: N0.
            coefficients: c_0, c_1, …, or {j: c_j}; their squares are the power of each degree.
            key: the seed.

        Raises:
            InputError: no coefficient but zeros, sizes below 1.
        """
        from widthwise.probes.teachers.index import draw

        if not isinstance(coefficients, dict):
            coefficients = checks.real("coefficients", coefficients, (1,), "(degrees,)")
        teacher = draw(inputs, coefficients, key)
        if len(teacher.units) > 1:
            raise InputError("coefficients: expected one order each, got several; use Teacher.multi_index.")
        return teacher

    @staticmethod
    def multi_index(inputs: int, coefficients: Any, *, key: int = 0) -> Teacher:
        """f*(x) = Σ_J c_J Π_k h_{J_k}(u_k·x), x ~ N(0, 1), u_k orthonormal.     [`index.Index`]

        Args:
            inputs: N0.
            coefficients: {(J_1, …, J_r): c_J}, such as {(1, 1, 1): 1.0}; or an array with c_J at [J_1, …, J_r].
            key: the seed.

        Raises:
            InputError: more directions than inputs, no coefficient but zeros, orders of different lengths.
        """
        from widthwise.probes.teachers.index import draw

        return draw(inputs, coefficients, key)

    @staticmethod
    def deep(
        inputs: int, widths: Any, *, activation: Any = "erf", gain: float = 1.0, readout: Any = "random", key: int = 0
    ) -> Teacher:
        """f*(x) = v·φ(W_L φ(… φ(W_1 x))), x ~ N(0, 1), W^ℓ_ij ~ N(0, g²/N_{ℓ−1}).     [`deep.Deep`]

        Args:
            inputs: N0.
            widths: N_1 … N_L.
            activation: φ, any of the library or a callable.
            gain: g > 0.
            readout: as in `one_hidden_layer`; "random" by default.
            key: the seed.

        Raises:
            InputError: no hidden layer, sizes below 1, g ≤ 0, an unknown activation.
        """
        from widthwise.probes.teachers.deep import draw

        return draw(inputs, widths, activation, gain, readout, key)

    @staticmethod
    def hidden_manifold(
        inputs: int,
        latent: int,
        units: int,
        *,
        activation: Any = "erf",
        fold: Any = "erf",
        target: str = "latent",
        gain: float = 2.0,
        orthonormal: bool = True,
        readout: Any = None,
        key: int = 0,
    ) -> Teacher:
        """x = ψ(F c/√D), c ~ N(0, 1_D); y of c or of x, by one hidden layer.     [`hidden_manifold.HiddenManifold`]

        Args:
            inputs: N0.
            latent: D.
            units: M of the hidden layer; at most D ("latent") or N0 ("inputs") where orthonormal.
            activation: φ of the hidden layer.
            fold: ψ, any activation of the library or a callable.
            target: what the hidden layer sees: "latent", c, or "inputs", x.
            gain, orthonormal, readout: of the hidden layer, as in `one_hidden_layer`.
            key: the seed.

        Raises:
            InputError: another target, too many orthonormal units, sizes below 1, an unknown activation.
        """
        from widthwise.probes.teachers.hidden_manifold import draw

        return draw(inputs, latent, units, activation, fold, target, gain, orthonormal, readout, key)

    @staticmethod
    def templates(
        inputs: int,
        templates: int = 2,
        *,
        separation: float = 3.0,
        spread: float = 1.0,
        labels: str = "sign",
        orthonormal: bool = True,
        key: int = 0,
    ) -> Teacher:
        """x = μ_k + s z, k uniform on K templates, y the label of k.     [`templates.Templates`]

        Args:
            inputs: N0.
            templates: K of at least 2; at most N0 where orthonormal.
            separation: |μ_k| > 0, of each from the origin.
            spread: s > 0.
            labels: "sign", +1 and −1 by turns, or "onehot", one column a template.
            orthonormal: whether the μ_k are orthogonal; else each uniform on its sphere.
            key: the seed.

        Raises:
            InputError: K < 2 or K > N0 orthonormal ones, lengths not above 0, other labels.
        """
        from widthwise.probes.teachers.templates import draw

        return draw(inputs, templates, separation, spread, labels, orthonormal, key)

    @staticmethod
    def of_data(X: Any, y: Any) -> Teacher:
        """Real data as given, sampled without replacement; labels can be made noisy or shuffled.     [`of_data.OfData`]

        Args:
            X: (n, N0), (n, H, W) or (n, H, W, C).
            y: (n,) or (n, D).

        Raises:
            InputError: shapes that do not belong together, numbers that are not finite.
        """
        from widthwise.probes.teachers.of_data import OfData

        return OfData(X, y)
