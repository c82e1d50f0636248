"""Tune a model of transformers at a small width, train it wide with the exported arguments and Hugging Face's own Trainer.

The model is a GPT-NeoX constructed from a config: nothing is downloaded. The proxy is the same architecture at width 16;
Windtunnel differentiates through its training runs as they are. The exported file does not need Windtunnel.

Run it: python examples/hugging_face.py [--quick]. It needs the extra `worker`, `transformers` and `accelerate`; no server.
"""

# %% What stands for choice: sizes
import argparse
import importlib.util
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

import windtunnel
from hpo.tasks import load

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="sizes of seconds, to see that it runs")
QUICK = parser.parse_args().quick
PROXY, TARGET, HEAD, DEPTH = (16, 64, 8, 1) if QUICK else (16, 128, 8, 2)
TUNING = (
    {"inner": {"steps": 6, "batch_size": 8, "seeds": 2}, "outer": {"steps": 1, "scout": False, "finish_seeds": 2}}
    if QUICK
    else {"inner": {"steps": 60, "batch_size": 16, "seeds": 2}, "outer": {"steps": 3, "finish_seeds": 4}}
)
STEPS = 10 if QUICK else 150
torch.manual_seed(0)

# %% The data: characters of Python's own standard library
text = load("python-text")
CONTEXT = 32
VOCABULARY = 1 + max(int(part.labels.max()) for part in (text.train, text.validation, text.test))
data = [(part.inputs[:, :CONTEXT], part.labels[:, :CONTEXT]) for part in (text.train, text.validation, text.test)]


# %% The model, at any width: heads keep their size, so a wider model has more of them
class LanguageModel(nn.Module):
    """A GPT-NeoX whose forward pass returns logits. Dropout is 0: it has no derivative here."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.lm = GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=VOCABULARY,
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=depth,
                num_attention_heads=width // HEAD,
                max_position_embeddings=CONTEXT,
                hidden_dropout=0.0,
                attention_dropout=0.0,
                use_cache=False,
            )
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.lm(input_ids=inputs).logits


# %% What every parameter is under muP. Read it once: a wrong role is a wrong transfer
print(windtunnel.roles(lambda width: LanguageModel(width, DEPTH), base=PROXY, delta=2 * PROXY))

# %% Tune the proxy
result = windtunnel.tune(
    LanguageModel, data, kind="language", classes=VOCABULARY, model={"width": PROXY, "depth": DEPTH}, **TUNING
)
print(result)

# %% Export the plan for the wide model, and import the file
plan = result.plan(width=TARGET, steps=STEPS, force=QUICK)
folder = Path(tempfile.mkdtemp(prefix="windtunnel-"))
file = folder / "wide.py"
file.write_text(plan.to("huggingface"))
described = importlib.util.spec_from_file_location("wide", file)
wide = importlib.util.module_from_spec(described)
described.loader.exec_module(wide)
print("written:", file)

# %% Train with Hugging Face's Trainer, its arguments, optimizer and schedule those of the plan
model = wide.build_model(LanguageModel(wide.WIDTH, wide.DEPTH))
wide.initialise(model, wide.SEED)
rows = torch.randint(len(data[0][0]), (STEPS * plan.batch_size,))
dataset = [{"inputs": data[0][0][row], "labels": data[0][1][row]} for row in rows]
held_out = [{"inputs": inputs, "labels": labels} for inputs, labels in zip(*data[2], strict=True)]
changes = {
    "report_to": "none",
    "save_strategy": "no",
    "use_cpu": True,
    "disable_tqdm": True,
    "logging_steps": max(1, STEPS // 5),
}
training = wide.trainer(model, str(folder / "runs"), changes, train_dataset=dataset, eval_dataset=held_out)
training.train()


# %% Beside the same model from the same config with a learning rate of 1e-3 and Hugging Face's other defaults
def test_loss(trained: nn.Module) -> float:
    """Mean test loss in nats per character."""
    with torch.no_grad():
        return wide.training_loss(trained.eval(), *data[2]).item()


untuned = LanguageModel(wide.WIDTH, wide.DEPTH)
arguments = wide.TrainingArguments(
    str(folder / "untuned"),
    learning_rate=1e-3,
    max_steps=STEPS,
    per_device_train_batch_size=plan.batch_size,
    label_names=["labels"],
    remove_unused_columns=False,
    **changes,
)
wide.PlanTrainer(untuned, arguments, train_dataset=dataset).train()
print(f"untuned   test loss {test_loss(untuned):.3f}")
print(f"the plan  test loss {test_loss(model):.3f}")
