"""The spectral form of muP: no forward multipliers; weights and their updates have spectral norm sqrt(fan_out /
fan_in).

Source: Yang, Simon & Bernstein 2023, "A spectral condition for feature learning" (arXiv:2310.17813), condition 1 and
parametrization 1: init std ``min(1, sqrt(fan_out / fan_in)) / sqrt(fan_in)``, SGD rate ``fan_out / fan_in``; Adam rate
``1 / fan_in`` (its section on other optimizers).

**As power laws.** A readout's fan-out is fixed: std 1/m_in, SGD rate 1/m_in, Adam rate 1/m_in. An input's fan-in is
fixed: std 1, SGD rate m_out, Adam rate 1; a bias is an input of fan-in 1. The two fans of a hidden matrix are taken
to grow in proportion, as they do in every family here, and an input's width is taken to be at least its fan-in, so
the minimum is a constant: std 1/sqrt(m_in), SGD rate m_out / m_in, Adam rate 1/m_in.

**Compared with muP.** Hidden, input and bias are as in muP. The readout is muP's shifted by theta = m_in: the same function
at every step of SGD and Adam. Without its multiplier the readout's gradient has entries of order 1, though, and the
norm of the whole gradient grows like sqrt(m): a clip threshold does not carry over.
"""

from hpo.mup.tables.entry import Entry, Table
from hpo.mup.tables.mup import MUP
from windtunnel.types.powers import Power

SPECTRAL: Table = {
    **MUP,
    "output": Entry(init_std=Power(fan_in=-1), sgd=Power(fan_in=-1), adam=Power(fan_in=-1)),
}
