"""Results that carry the theory's own error bar, made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from widthwise.posterior.error_bar import ErrorBar

Judge = Callable[[], "ErrorBar | None"]


class Judged:
    """A dataclass with a field `_judge`; copies, pickles among them, keep the bar and not what made it."""

    _judge: Judge | None

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

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "error_bar": self.error_bar, "_judge": None}
