"""How a student comes to its teacher: the probes along its training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from widthwise import checks
from widthwise.errors import InputError
from widthwise.probes.experiment import PLAIN, Recipe, data_of, network_of, own_key
from widthwise.probes.report import Report, report
from widthwise.probes.train import train

_STEPS = {
    "gauss-newton": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256),
    "adam": (100, 200, 300, 500, 800, 1200, 2000, 3000, 5000),
    "lbfgs": (100, 200, 300, 500, 800, 1200, 2000, 3000, 5000),
}


@dataclass(frozen=True)
class Trajectory:
    """One student, looked at after several numbers of steps.

    Args:
        steps: that it had taken, at most; it may have ended before.
        reports: what the probes said then.
        examples: P.
        width: N1.
        seed: of the run.
    """

    steps: tuple[int, ...]
    reports: tuple[Report, ...] = field(repr=False)
    examples: int
    width: int
    seed: int

    def values(self, probe: str) -> tuple[float | None, ...]:
        """One probe along the way; None where it has no value.

        Args:
            probe: a field of `Report`.
        """
        return tuple(getattr(entry, probe).value for entry in self.reports)

    def records(self) -> list[dict[str, Any]]:
        """One plain dictionary for each look."""
        return [
            {"step": step, **{name: probe.value for name, probe in entry.probes.items()}}
            for step, entry in zip(self.steps, self.reports)
        ]


def trajectory(
    teacher: Any, examples: int, width: int, seed: int = 0, recipe: Recipe = PLAIN, *, steps: Any = None
) -> Trajectory:
    """The probes of one student along its training, of its first restart.

    It is trained anew for each number of steps, from the same weights on the same data: of "gauss-newton" and "lbfgs"
    these are points of one path; of "adam" each has its own learning rates, that fall to zero at its end. m is not
    measured: it is of a student that has come to rest.

    Args:
        teacher: a `Teacher`.
        examples: P.
        width: N1.
        seed: of the run; its data are those of `experiment`.
        recipe: how; its restarts are ignored.
        steps: when to look, increasing; by default what suits the method.

    Raises:
        InputError: a method without steps; steps that do not increase.
    """
    if recipe.method not in _STEPS:
        raise InputError(f"method: expected one of {', '.join(_STEPS)}, got {recipe.method!r}; it has no steps to see.")
    looks = tuple(checks.whole("steps", step, 1) for step in (_STEPS[recipe.method] if steps is None else steps))
    if not looks or list(looks) != sorted(set(looks)):
        raise InputError(f"steps: expected increasing whole numbers, got {looks}; pass e.g. (1, 10, 100).")
    network, key = network_of(teacher, width, recipe), own_key(recipe, seed)
    X, y, X_test, y_test = data_of(teacher, checks.whole("examples", examples, 1), seed, recipe)
    reports, settings = [], {name: value for name, value in recipe.settings.items() if name != "steps"}
    for step in looks:
        student = train(network, X, y, method=recipe.method, key=key, steps=step, **settings)
        known = {"X": X, "y": y, "X_test": X_test, "y_test": y_test}
        reports.append(
            report(
                student, teacher, **known, memorisation=False, fresh=recipe.fresh, nulls=recipe.nulls, key=recipe.key
            )
        )  # fmt: skip
    return Trajectory(looks, tuple(reports), examples, width, seed)
