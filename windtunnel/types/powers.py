"""Power laws in the growth of a tensor's fans and of the depth: the entries of every rule table. Imports no torch."""

from dataclasses import dataclass
from typing import Protocol


class Growth(Protocol):
    """Growth from the proxy to another size: ratios of a tensor's fan-in and fan-out, and of the depth."""

    @property
    def fan_in(self) -> float:
        """Ratio m_in: its fan-in over its fan-in in the proxy."""
        ...

    @property
    def fan_out(self) -> float:
        """Ratio m_out: its fan-out over its fan-out in the proxy."""
        ...

    @property
    def depth(self) -> float:
        """Ratio m_L: residual blocks over the proxy's."""
        ...


@dataclass(frozen=True)
class Power:
    """The factor ``m_in ** fan_in * m_out ** fan_out * m_L ** depth``.

    One entry gives both the number that a tensor gets and the formula that a plan shows for it.
    """

    fan_in: float = 0.0
    fan_out: float = 0.0
    depth: float = 0.0

    def at(self, growth: Growth) -> float:
        """The factor for a tensor with this growth; exactly 1 where nothing grew."""
        return float(growth.fan_in**self.fan_in * growth.fan_out**self.fan_out * growth.depth**self.depth)

    def __mul__(self, other: "Power") -> "Power":
        return Power(self.fan_in + other.fan_in, self.fan_out + other.fan_out, self.depth + other.depth)

    def __truediv__(self, other: "Power") -> "Power":
        return Power(self.fan_in - other.fan_in, self.fan_out - other.fan_out, self.depth - other.depth)

    def formula(self, symbol: str) -> str:
        """``symbol`` times the factor, as a formula: ``eta / m``, ``lambda * m_in / m_out``, ``1 / m_L``.

        m is short for m_in where m_out does not occur.
        """
        fan_in = "m" if not self.fan_out else "m_in"
        powers = [("m_out", self.fan_out), (fan_in, self.fan_in), ("m_L", self.depth)]
        above = "".join(f" * {_power_text(name, power)}" for name, power in powers if power > 0)
        below = "".join(f" / {_power_text(name, -power)}" for name, power in powers if power < 0)
        return symbol + above + below


def _power_text(name: str, power: float) -> str:
    if power == 1:
        return name
    return f"sqrt({name})" if power == 0.5 else f"{name}^{power:g}"


ONE = Power()
