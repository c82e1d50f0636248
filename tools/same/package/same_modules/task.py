"""The task, light enough for a server: importing this imports no torch."""

from windtunnel import UserTask

TASK = UserTask(
    name="same-sums",
    title="Sums of tokens modulo 3",
    input_shape=(6,),
    inputs="tokens",
    classes=3,
    examples=(120, 40, 40),
    load="same_modules.data:load",
    build="same_modules.model:build",
    module="same_modules:module.json",
    roles={"position": "input"},
    init_std={"position": 0.5},
    width=16,
    batch_size=16,
)
