"""The standard parametrization: init by fan-in (LeCun et al. 1998; He et al. 2015), every other value copied.

With one rate for all tensors, updates change hidden layers by m and outputs by m^2 (Tensor Programs V, figure 5). The
table is kept for comparison; its transfer to another width is refused.
"""

from hpo.mup.tables.entry import Entry, Table
from windtunnel.types.powers import Power

STANDARD: Table = {
    "input": Entry(),
    "hidden": Entry(init_std=Power(fan_in=-0.5)),
    "output": Entry(init_std=Power(fan_in=-0.5)),
    "vector": Entry(),
    "scalar": Entry(),
}
