"""The prior of a matrix-valued order parameter: a Wishart matrix for one hidden layer, a chain of them for several.

    Q_ℓ | Q_{ℓ+1} ~ Wishart_m(N_ℓ, Q_{ℓ+1})/N_ℓ,   Q_{L+1} = I,   f | Q_1 ~ GP(0, K_R(Q_1))
    −2 log p = Σ_ℓ N_ℓ [ tr(Q_{ℓ+1}⁻¹Q_ℓ) − log det(Q_{ℓ+1}⁻¹Q_ℓ) ] + …   in the measure Π dQ_ℓ det Q_ℓ^{−(m+1)/2}
                                                  [Baglioni et al. 2024, arXiv 2412.15911; 2026, arXiv 2605.29684]

At fixed Q_1 the minimum over the others commutes with it (von Neumann's trace inequality), so that the chain costs
Σ_r g(log q_r) over the eigenvalues of Q_1, with g of `ChainPrior`: the saddle of any depth is over one matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln, multigammaln

from widthwise.errors import InputError

Positions = Float[np.ndarray, "C d"]
Part = Float[np.ndarray, "C n"]


@dataclass(frozen=True)
class Block:
    """One layer's factor M_ℓ: where its coordinates are, and what it is made of.

    Args:
        width: N_ℓ.
        rows: min(m, N_L, …, N_{ℓ+1}), the rank of the layer above.
        first: of its coordinates.
        triangular: whether M_ℓ is Bartlett's lower trapezoidal factor; else it is the Gaussian matrix (rows, N_ℓ).
    """

    width: int
    rows: int
    first: int
    triangular: bool

    @property
    def columns(self) -> int:
        return min(self.rows, self.width)

    @property
    def size(self) -> int:
        r = self.columns
        return r + len(self.below[0]) if self.triangular else self.rows * r

    @cached_property
    def freedom(self) -> Float[np.ndarray, " r"]:
        """ν_i = N − i + 1: A_ii² ~ χ²_{ν_i}."""
        return self.width - np.arange(self.columns, dtype=float)

    @cached_property
    def below(self) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        return np.tril_indices(self.rows, -1, self.columns)

    def part(self, z: Positions) -> Part:
        return z[:, self.first : self.first + self.size]

    def matrix(self, z: Positions) -> Float[np.ndarray, "C r s"]:
        """M_ℓ = A_ℓ/√N_ℓ, with A_ii = √ν_i exp(z_i/√(2ν_i)) where it is triangular."""
        part, r = self.part(z), self.columns
        if not self.triangular:
            return part.reshape(len(z), self.rows, r) / math.sqrt(self.width)
        A = np.zeros((len(z), self.rows, r))
        A[:, range(r), range(r)] = np.sqrt(self.freedom) * np.exp(part[:, :r] / np.sqrt(2.0 * self.freedom))
        A[:, self.below[0], self.below[1]] = part[:, r:]
        return A / math.sqrt(self.width)

    def coordinates(self, M: Float[np.ndarray, "C r s"]) -> Part:
        """The inverse of `matrix`."""
        A, r = M * math.sqrt(self.width), self.columns
        if not self.triangular:
            return A.reshape(len(A), -1)
        logs = np.log(A[:, range(r), range(r)] / np.sqrt(self.freedom))
        return np.concatenate([np.sqrt(2.0 * self.freedom) * logs, A[:, self.below[0], self.below[1]]], axis=1)

    def pull_back(self, M: Float[np.ndarray, "C r s"], G: Float[np.ndarray, "C r s"]) -> Part:
        """∂/∂z from G = ∂/∂M."""
        r = self.columns
        if not self.triangular:
            return G.reshape(len(G), -1) / math.sqrt(self.width)
        diagonal = (G * M)[:, range(r), range(r)] / np.sqrt(2.0 * self.freedom)
        return np.concatenate([diagonal, G[:, self.below[0], self.below[1]] / math.sqrt(self.width)], axis=1)

    def log_prior(self, z: Positions) -> tuple[Float[np.ndarray, " C"], Part]:
        """log p(z) − log N(z; 0, I): of log A_ii alone, all else is Gaussian."""
        part, r = self.part(z), self.columns
        gradient = np.zeros_like(part)
        if not self.triangular:
            return np.zeros(len(z)), gradient
        half, x = 0.5 * self.freedom, part[:, :r]
        quarter = half * np.exp(x / np.sqrt(half))  # ½A_ii²
        constant = (half - 0.5) * np.log(half) - gammaln(half) + 0.5 * math.log(2.0 * math.pi)
        gradient[:, :r] = (half - quarter) / np.sqrt(half) + x
        return (constant + np.sqrt(half) * x - quarter + 0.5 * x * x).sum(axis=1), gradient


@dataclass(frozen=True)
class WishartChain:
    """The prior of Q_1 … Q_L, each (m, m).

    Args:
        widths: N_1 … N_L.
        side: m.
        triangular: whether all factors are triangular, so that z ↔ (Q_1 … Q_L) is one to one. By default those of
            layers no wider than the rank above are the Gaussian matrices, in which nothing keeps a chain from moving.
    """

    widths: tuple[int, ...]
    side: int
    triangular: bool = False

    @property
    def full_rank(self) -> bool:
        """Whether every layer is at least m wide; below, the Wishart matrices are singular."""
        return min(self.widths) >= self.side

    @property
    def unique(self) -> WishartChain:
        """The same prior in coordinates that no rotation changes."""
        return replace(self, triangular=True)

    @property
    def expected(self) -> Float[np.ndarray, "m m"]:
        """Q_1 at infinite width."""
        return np.eye(self.side)

    # --- the saddle -----------------------------------------------------------------------------------------------

    def ratios(self, u: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m L"]:
        """`ChainPrior.layers` at many u together: Q_ℓ/Q_{ℓ+1} per eigenvalue of Q_1.

        With w = log of the narrowest layer's and r_ℓ = N_min/N_ℓ, Σ_ℓ log(1 − r_ℓ + r_ℓ e^w) = u: convex, of slope one
        or more, so that Newton's steps from above never overshoot.
        """
        N = np.array(self.widths, dtype=float)
        r = N.min() / N
        with np.errstate(divide="ignore"):
            log_r, log_rest = np.log(r), np.log1p(-r)
        w = np.where(u > 0.0, u, u / len(N))
        for _ in range(100):
            logs = np.logaddexp(log_rest, log_r + w[:, None])
            step = (logs.sum(axis=1) - u) / np.exp(log_r + w[:, None] - logs).sum(axis=1)
            w = w - step
            if float(np.abs(step).max()) <= 4e-16 * max(1.0, float(np.abs(w).max())):
                break
        return np.exp(np.logaddexp(log_rest, log_r + w[:, None]))

    def energy(self, u: Float[np.ndarray, " m"]) -> tuple[float, Float[np.ndarray, " m"]]:
        """Σ_r g(u_r), the prior's part of S, at the logarithms of Q_1's eigenvalues, and its gradient."""
        N, Q = np.array(self.widths, dtype=float), self.ratios(u)
        return float((N * (Q - np.log(Q))).sum() / N[-1]), N[0] * (Q[:, 0] - 1.0) / N[-1]

    def layers(self, Q: Float[np.ndarray, "m m"]) -> Float[np.ndarray, "L m m"]:
        """Q_1 … Q_L at the saddle over Q_2 … Q_L, Q_1 = Q given."""
        q, V = np.linalg.eigh(Q)
        ratios = self.ratios(np.log(q))
        return np.array([(V * one) @ V.T for one in np.cumprod(ratios[:, ::-1], axis=1)[:, ::-1].T])

    def laplace_constant(self) -> float:
        """log of the constants in p(Q_ℓ | Q_{ℓ+1}) = c_ℓ exp(−½N_ℓ(tr − log det)), summed over the layers.

        Raises:
            InputError: a width is less than m; there is no density then.
        """
        m = self.side
        if not self.full_rank:
            raise InputError(
                f"the saddle's evidence: expected widths of at least {m} (the order parameter's rows), got "
                f"{min(self.widths)}: the Wishart matrix is singular; use approximation='integrated'."
            )
        return sum(0.5 * m * N * math.log(0.5 * N) - float(multigammaln(0.5 * N, m)) for N in self.widths)

    def log_inner_hessian(self, u: Float[np.ndarray, " m"]) -> float:
        """log det of the Hessian of S in the layers above the first, Q_1 fixed, at their minimum.

        With Q_ℓ ↦ √Q_ℓ exp(H) √Q_ℓ and ρ the eigenvalues of Q_ℓ/Q_{ℓ+1} every entry (r, s) of the H is on its own:
        (N_ℓ/N_L) [ ½(ρ_r + ρ_s)(h_ℓ² + h_{ℓ+1}²) − 2√(ρ_r ρ_s) h_ℓ h_{ℓ+1} ], half of it where r = s.

        Args:
            u: logarithms of Q_1's eigenvalues.
        """
        L, m = len(self.widths), self.side
        if L == 1:
            return 0.0
        rho = self.ratios(u) * self.widths / self.widths[-1]  # with the weights N_ℓ/N_L (m, L)
        total = 0.0
        for r in range(m):
            for s in range(r, m):
                share = 0.5 if r == s else 1.0
                own = share * (rho[r] + rho[s])
                mixed = -2.0 * share * np.sqrt(rho[r] * rho[s])
                H = np.diag(own[1:] + own[:-1]) + np.diag(mixed[1:-1], 1) + np.diag(mixed[1:-1], -1)
                total += float(np.linalg.slogdet(H)[1])
        return total

    # --- draws ----------------------------------------------------------------------------------------------------

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The layers' factors, the last layer's first."""
        blocks, rows, first = [], self.side, 0
        for N in reversed(self.widths):
            block = Block(N, rows, first, self.triangular or rows < N)
            blocks.append(block)
            rows, first = block.columns, first + block.size
        return tuple(blocks)

    @property
    def dimension(self) -> int:
        """d, the number of coordinates z."""
        return sum(block.size for block in self.blocks)

    def factors(self, z: Positions) -> Float[np.ndarray, "C m r"]:
        """B with Q_1 = B Bᵀ: B = M_L … M_1.

        M_ℓ = A_ℓ/√N_ℓ with Bartlett's lower triangle A_ℓ, A_ii² ~ χ²_{N−i+1}, N(0, 1) below the diagonal, where the
        layer is wider than the rank above it, and the Gaussian matrix otherwise.
                                                                          [Bartlett 1933, Proc. R. Soc. Edinb. 53, 260]

        Args:
            z: coordinates, N(0, 1) or nearly so (C, d).
        """
        B = self.blocks[0].matrix(z)
        for block in self.blocks[1:]:
            B = B @ block.matrix(z)
        return B

    def same_in(self, other: WishartChain, z: Positions) -> Part:
        """The coordinates in `other`, all triangular, of the same Q_1 … Q_L.

        From the last layer on, M_ℓ = L_ℓ U_ℓ with orthonormal rows U_ℓ, which go to the left of M_{ℓ-1}.
        """
        parts, U = [], np.eye(self.side)
        for own, new in zip(self.blocks, other.blocks):
            Ut, R = np.linalg.qr(np.swapaxes(U @ own.matrix(z), 1, 2))
            sign = np.where(np.diagonal(R, axis1=1, axis2=2) < 0.0, -1.0, 1.0)
            parts.append(new.coordinates(np.swapaxes(sign[:, :, None] * R, 1, 2)))
            U = np.swapaxes(sign[:, None, :] * Ut, 1, 2)
        return np.concatenate(parts, axis=1)

    def all_layers(self, z: Positions) -> Float[np.ndarray, "L C m m"]:
        """Q_1 … Q_L of every draw."""
        out, B = [], np.broadcast_to(np.eye(self.side), (len(z), self.side, self.side))
        for block in self.blocks:
            B = B @ block.matrix(z)
            out.append(B @ np.swapaxes(B, 1, 2))
        return np.array(out[::-1])

    def log_prior(self, z: Positions) -> tuple[Float[np.ndarray, " C"], Positions]:
        """log p(z) − log N(z; 0, I), normalised, and its gradient."""
        values, gradients = zip(*(block.log_prior(z) for block in self.blocks))
        return np.sum(values, axis=0), np.concatenate(gradients, axis=1)

    def pull_back(self, z: Positions, gradient: Float[np.ndarray, "C m m"]) -> Positions:
        """∂F/∂z from ∂F/∂Q_1, symmetric, the entries of Q_1 varied freely."""
        M = [block.matrix(z) for block in self.blocks]
        B = M[0]
        above = [np.broadcast_to(np.eye(self.side), (len(z), self.side, self.side))]  # M_L … M_{ℓ+1}
        for one in M[1:]:
            above.append(B)
            B = B @ one
        G = 2.0 * gradient @ B  # ∂F/∂B, then times what stands on the right of M_ℓ
        parts = []
        for block, one, left in zip(self.blocks[::-1], M[::-1], above[::-1]):
            parts.append(block.pull_back(one, np.swapaxes(left, 1, 2) @ G))
            G = G @ np.swapaxes(one, 1, 2)
        return np.concatenate(parts[::-1], axis=1)
