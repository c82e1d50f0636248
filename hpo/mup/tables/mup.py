"""muP, the maximal update parametrization: every layer's outputs change by order 1, at every width.

Source: Yang et al. 2022, Tensor Programs V (arXiv:2203.03466), table 8; with a readout at zero, which its section D.2
prefers.

**Derivation.** With outputs of hidden layers of order 1 and logits ``(alpha / m) W_out h + b``, ``dL/dh`` is of order
1/m, and so is ``dL/dz`` of every hidden unit. Gradients ``dL/dz h`` of input and hidden matrices and ``dL/dz`` of
hidden biases are of order 1/m_out, that of the readout's weight, ``(alpha / m) h``, of order 1/m_in by the
multiplier, that of its bias of order 1. An update of a hidden matrix is a sum of outer products along h, and W' h
adds up over m_in coherent terms. So a change of order 1 takes entries of order 1/m_in of a hidden matrix (Adam: the
rate itself; SGD: rate times gradient, so m_out / m_in), of order 1 of an input matrix or bias (SGD: m_out), and of
order 1 of a readout, whose multiplier averages (SGD: m_in).

Muon's update of a hidden matrix has singular values of the size of the rate. ``W' h`` is at most that times the norm of h,
which grows like sqrt(m_in), and the outputs change by order 1 where its norm grows like sqrt(m_out): rate
sqrt(m_out / m_in), the spectral condition (Yang, Simon & Bernstein 2023, arXiv:2310.17813).
"""

from hpo.mup.tables.entry import Entry, Table
from windtunnel.types.powers import Power

MUP: Table = {
    "input": Entry(sgd=Power(fan_out=1), gradient=Power(fan_out=-1)),
    "hidden": Entry(
        init_std=Power(fan_in=-0.5),
        sgd=Power(fan_in=-1, fan_out=1),
        adam=Power(fan_in=-1),
        orthogonal=Power(fan_in=-0.5, fan_out=0.5),
        gradient=Power(fan_out=-1),
    ),
    "output": Entry(multiplier=Power(fan_in=-1), sgd=Power(fan_in=1), gradient=Power(fan_in=-1)),
    "vector": Entry(sgd=Power(fan_out=1), gradient=Power(fan_out=-1)),
    "scalar": Entry(),
}
