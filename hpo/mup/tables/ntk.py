"""The neural tangent parametrization: outputs learn at every width, and layers move less and less as it grows.

Source: Jacot, Gabriel & Hongler 2018 (arXiv:1806.07572): weights of order 1, multiplier 1/sqrt(fan_in), one SGD rate.
The kernel limit under adaptive optimizers is that of Yang & Littwin 2023, Tensor Programs IVb (arXiv:2308.01814).

**Derivation for Adam**, whose updates have entries of the size of the rate and are coherent with the readout. With
logits ``m^-1/2 w h`` a change of h of order c adds up to m^1/2 c, so the outputs change by order 1 where c is
m_out^-1/2: rates m_out^-1/2 of inputs and biases, (m_in m_out)^-1/2 of hidden weights (``m_in^-1/2 W' h`` sums m_in
coherent terms), m_in^-1/2 of the readout. That is the most that keeps outputs finite, and it moves every layer by
m^-1/2 only. Under Muon ``m_in^-1/2 W' h`` has entries of order m_out^-1/2, too, at a rate that does not depend on the
width: derived here, not published.

**With a readout at zero**, as in every family here, the readout learns entries of order m^-1/2, so ``dL/dz`` is of
order 1/m, not m^-1/2: gradients of input, hidden and bias below say that. Under Adam layers still move by m^-1/2,
under SGD by 1/m. Neither is equivalent to muP: no theta turns a layer that does not move into one that does.
"""

from hpo.mup.tables.entry import Entry, Table
from windtunnel.types.powers import ONE, Power

NTK: Table = {
    "input": Entry(adam=Power(fan_out=-0.5), gradient=Power(fan_out=-1)),
    "hidden": Entry(
        multiplier=Power(fan_in=-0.5),
        adam=Power(fan_in=-0.5, fan_out=-0.5),
        orthogonal=ONE,
        gradient=Power(fan_in=-0.5, fan_out=-1),
    ),
    "output": Entry(multiplier=Power(fan_in=-0.5), adam=Power(fan_in=-0.5), gradient=Power(fan_in=-0.5)),
    "vector": Entry(adam=Power(fan_out=-0.5), gradient=Power(fan_out=-1)),
    "scalar": Entry(),
}
