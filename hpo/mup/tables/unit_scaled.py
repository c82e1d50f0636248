"""u-muP, the unit-scaled maximal update parametrization: stored weights of order 1, the scale in forward multipliers.

Source: Blake et al. 2024, "u-muP: the unit-scaled maximal update parametrization" (arXiv:2407.17465), table 2:
multiplier 1/sqrt(fan_in) and Adam rate 1/sqrt(fan_in) of hidden weights, multiplier 1/fan_in of the readout, Adam
rate 1/sqrt(fan_out) of embeddings, and 1/sqrt(depth) on branches and on their rates (``depth.py`` at alpha 1/2). At
base fans of 1 the table gives the library's absolute numbers: rate .1, d = 16, depth 3: embedding .1/4, hidden
.1/4/sqrt(3), bias .1/sqrt(3), readout .1.

**Against muP.** Hidden weights are muP's shifted by theta = 1/sqrt(m_in); rates of SGD and of Muon, which the paper does
not give, follow from that symmetry (unit-scaling's own SGD scales differ, since that library also rescales gradients in
the backward pass). So hidden weights, readout and biases train as under muP. **Embeddings do not**, under Adam: their
rate falls like 1/sqrt(m_out), an observation of the paper (its section on embeddings) and no consequence of theory:
what they put out moves by m^-1/2. Unit scaling inside of operations, which keeps low precision in range, is no part
of a table.
"""

from hpo.mup.tables.entry import Entry, Table
from hpo.mup.tables.mup import MUP
from windtunnel.types.powers import Power

UNIT_SCALED: Table = {
    **MUP,
    "input": Entry(sgd=Power(fan_out=1), adam=Power(fan_out=-0.5), gradient=Power(fan_out=-1)),
    "hidden": Entry(
        multiplier=Power(fan_in=-0.5),
        sgd=Power(fan_out=1),
        adam=Power(fan_in=-0.5),
        orthogonal=Power(fan_out=0.5),
        gradient=Power(fan_in=-0.5, fan_out=-1),
    ),
}
