"""The optimizers that the project knows: a table of records, and the type of a record."""

from windtunnel.types.optimizers.info import (
    BOUNDS,
    BatchRule,
    Bounds,
    DecayKind,
    OptimizerInfo,
    OptionName,
    Options,
    OptionValue,
    SettingName,
    TorchForm,
    entry_sized,
    gradient_sized,
)
from windtunnel.types.optimizers.table import (
    OPTIMIZERS,
    decay_words,
    having,
    names,
    optimizer_info,
    option_words,
    setting_words,
)

__all__ = [
    "BOUNDS",
    "OPTIMIZERS",
    "BatchRule",
    "Bounds",
    "DecayKind",
    "OptimizerInfo",
    "OptionName",
    "OptionValue",
    "Options",
    "SettingName",
    "TorchForm",
    "decay_words",
    "entry_sized",
    "gradient_sized",
    "having",
    "names",
    "optimizer_info",
    "option_words",
    "setting_words",
]
