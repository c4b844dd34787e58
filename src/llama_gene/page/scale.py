"""From values to pixels, with round ticks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to pixels, with round tick values.

    >>> scale = Scale(0.0, 10.0, 100.0, 200.0)
    >>> scale(5.0), scale.ticks(4)
    (150.0, [0.0, 5.0, 10.0])
    """

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float) -> "Scale":
        """The scale that just holds the finite ones of `values` between the pixels `start` and `end`."""
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        magnitude = max(abs(low), abs(high))
        if high - low <= 1e-9 * max(magnitude, 1e-3):  # one value, as far as floats can tell: put it in the middle
            slack = 0.05 * magnitude if magnitude > 1e-9 else 0.05
            low, high = low - slack, high + slack
        return cls(low, high, start, end)

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self, about: int) -> list[float]:
        """Round values inside the scale, some `about` of them."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-6), math.floor(self.high / step + 1e-6)
        # Through text, so that 3 * 0.1 is 0.3.
        return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic map from positive values to pixels; `low` and `high` are values, not logarithms.

    >>> scale = LogScale(1.0, 10_000.0, 0.0, 400.0)
    >>> scale(100.0), scale.ticks(4)
    (200.0, [1.0, 10.0, 100.0, 1000.0, 10000.0])
    >>> LogScale(3.0, 40.0, 0.0, 400.0).ticks(4)
    [5.0, 10.0, 20.0]
    """

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float) -> "LogScale":
        """The scale that just holds the positive ones of `values` between the pixels `start` and `end`."""
        positive = [value for value in values if math.isfinite(value) and value > 0] or [1.0, 10.0]
        low, high = min(positive), max(positive)
        return cls(low, high, start, end) if high > 1.001 * low else cls(low / 2, high * 2, start, end)

    def __call__(self, value: float) -> float:
        """The pixel of a positive value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, about: int) -> list[float]:
        """Powers of ten inside the scale, some `about` of them; twos and fives between, where those are too few."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        factors = (1, 2, 5) if math.log10(self.high / self.low) < 2 else (1,)
        stride = max(1, math.ceil((last - first) / (2 * about)))
        values = [factor * 10.0**power for power in range(first, last + 1, stride) for factor in factors]
        inside = [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]
        # Between two near values there may be no round one.
        return inside or [self.low, self.high]


AnyScale = Scale | LogScale


def tick_text(value: float) -> str:
    """A round number beside an axis, in at most six characters."""
    if abs(value) >= 100_000:  # there is room for six characters
        return f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1000:g}k"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
