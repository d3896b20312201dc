"""Results that carry the theory's own error bar, made when it is first asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from widthwise.posterior.error_bar import ErrorBar

Judge = Callable[[], "ErrorBar | None"]
J = TypeVar("J", bound="Judged")


class Judged:
    """A frozen result whose error bar a judge makes; the judge is no field, and a pickle holds the bar instead."""

    _judge: Judge | None = None

    @cached_property
    def error_bar(self) -> ErrorBar | None:
        """The theory's own 95 % error bar and what it is made of; None where nothing is known.

        Computed from the training data when it is first asked for, without sampling (about a second at P = 1000).
        """
        return None if self._judge is None else self._judge()

    @property
    def theory_error(self) -> float | None:
        """Half of the 95 % interval around the predicted error where the sampled network's should fall."""
        return None if self.error_bar is None else self.error_bar.half_width

    def judged_by(self: J, judge: Judge) -> J:
        """The same result with a judge.

        Args:
            judge: makes the bar.
        """
        twin = copy.copy(self)
        object.__setattr__(twin, "_judge", judge)
        return twin

    def __copy__(self: J) -> J:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self: J, memo: dict[int, Any]) -> J:
        return self  # frozen, and so is all that it holds

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "error_bar": self.error_bar, "_judge": None}
