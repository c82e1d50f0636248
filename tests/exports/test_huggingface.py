"""The Hugging Face file trains in a real Trainer as the torch file does, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hpo.exports.registry import export
from hpo.tasks import load

# What a user of the file would write; the same batches go through the torch file. Batches in order: no shuffling.
LOOP = """
import json, runpy, sys, warnings
warnings.simplefilter("ignore")
import torch
from safetensors.torch import load_file
from torch.utils.data import SequentialSampler

def logits(model, inputs):
    given = model(inputs)
    return getattr(given, "logits", given)

torch.set_num_threads(1)
cases, found = json.load(open("cases.json")), {}
for name, case in cases.items():
    data = torch.load(f"{name}.pt")
    plain, file = runpy.run_path(f"{name}_torch.py"), runpy.run_path(f"{name}_huggingface.py")
    weighted = "sources" in data

    model = plain["build_model"]()
    plain["initialise"](model, 7)
    update = plain["optimizer"](model)
    schedule = plain["scheduler"](update)
    shares = (torch.tensor(case["shares"]),) if weighted else ()
    columns = [data[key].split(plain["BATCH_SIZE"]) for key in ("inputs", "labels", "sources") if key in data]
    expected = []
    for batch in zip(*columns):
        expected.append(plain["train_step"](model, update, schedule, *batch, *shares))

    class Recorded(file["PlanTrainer"]):
        losses, rates = [], []

        def compute_loss(self, *args, **kwargs):
            loss = super().compute_loss(*args, **kwargs)
            self.losses.append(loss.item())
            self.rates.append([group["lr"] / group["initial_lr"] for group in self.optimizer.param_groups])
            return loss

        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(self.train_dataset)

    file["trainer"].__globals__["PlanTrainer"] = Recorded
    dataset = [{key: values[index] for key, values in data.items()} for index in range(len(data["inputs"]))]
    own = file["build_model"]()
    file["initialise"](own, 7)
    quiet = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "use_cpu": True}
    given = {"shares": shares[0]} if weighted else {}
    training = file["trainer"](own, f"runs_{name}", quiet, train_dataset=dataset, **given)
    training.train()
    # What a Trainer saves is a model for programs without the plan.
    training.save_model(f"saved_{name}")
    some = data["inputs"][:8]
    if hasattr(own, "save_pretrained"):
        bare = type(own).from_pretrained(f"saved_{name}")
        bare.config.use_cache = False
    else:
        bare = type(own)()
        bare.load_state_dict(load_file(f"saved_{name}/model.safetensors"))
    found[name] = {
        "bare": (logits(bare.eval(), some) - logits(own.eval(), some)).abs().max().item(),
        "expected": expected,
        "losses": Recorded.losses,
        "rates": Recorded.rates,
        "multipliers": [plain["multiplier"](step) for step in range(len(expected))],
        "apart": max(
            (a - b).abs().max().item()
            for a, b in zip(model.parameters(), map(own.get_parameter, file["TENSORS"]), strict=True)
        ),
        "given": {key: getattr(training.args, key) for key in case["arguments"]},
    }
    try:
        file["training_arguments"]("elsewhere", gradient_accumulation_steps=2, use_cpu=True)
    except ValueError as refusal:
        found[name]["refusal"] = str(refusal)

# Every schedule that the file names for Hugging Face, over a whole run, beside the plan's own.
from transformers import get_scheduler
for path in sys.argv[1:]:
    file = runpy.run_path(path)
    single = file["SINGLE"]
    update = torch.optim.SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in (1.0, 0.1)])
    clock = get_scheduler(
        single["lr_scheduler_type"],
        update,
        num_warmup_steps=single.get("warmup_steps", 0),
        num_training_steps=file["STEPS"],
        scheduler_specific_kwargs=single.get("lr_scheduler_kwargs"),
    )
    rows = []
    for step in range(file["STEPS"]):
        rows.append([*(group["lr"] for group in update.param_groups), file["multiplier"](step)])
        update.step()
        clock.step()
    found[path] = rows
assert "windtunnel" not in sys.modules and "hpo" not in sys.modules
print("FOUND" + json.dumps(found))
"""

STEPS, BATCH = 6, 8
INNER = {"inner": {"steps": STEPS, "batch_size": BATCH}}
PENALTIES = {"l2.input": 0.02, "l2.hidden": 0.05, "l2.output": 0.1}
CASES: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "adamw": (
        {"optimizer": {"clip_norm": 0.5}, "schedule": {"name": "cosine", "warmup_fraction": 0.5}},
        {"learning_rate.hidden": 0.02, "output_multiplier": 2.0},
    ),
    "unclipped_sgd": (
        {"optimizer": {"name": "sgd", "decay": "decoupled", "clip_norm": None}, "schedule": {"name": "knots"}},
        {"learning_rate": 0.1, "weight_decay": 0.5},
    ),
    "weighted": (
        {
            "optimizer": {"name": "sgd"},
            "search": [{"name": "mixture_weight"}, {"name": "l2", "scope": "role"}, {"name": "label_smoothing"}],
        },
        {f"mixture_weight.{digit}": 0.5 + digit / 5 for digit in range(10)} | PENALTIES | {"label_smoothing": 0.1},
    ),
    "transformer": (
        {"task": "python-text", "model": {"width": 32, "depth": 1}},
        {"output_multiplier": 2.0, "embedding_multiplier": 0.7, "attention_multiplier": 3.0},
    ),
}


TWINS: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "llama": (
        {"task": "python-text", "model": {"family": "llama", "width": 32, "depth": 1, "gqa_ratio": 2, "norm_gains": True}},
        {"output_multiplier": 2.0, "embedding_multiplier": 0.7, "attention_multiplier": 3.0, "learning_rate.gate": 0.02},
    ),
    "qwen": (
        {"task": "python-text", "model": {"family": "llama", "width": 32, "depth": 1, "qk_norm": True}},
        {"attention_multiplier": 3.0},
    ),
}
"""Plans that train a model of the library."""

THEIRS: dict[str, dict[str, Any]] = {
    "constant": {"name": "constant"},
    "cosine": {"name": "cosine", "warmup_fraction": 0.1, "floor": 0.05},
    "unwarmed": {"name": "cosine", "warmup_fraction": 0.0, "floor": 0.2},
}


@pytest.fixture(scope="module")
def trained(finish, plan_of, needs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one fresh process found: of each case its training, of each schedule its rates."""
    needs("transformers", "accelerate")
    folder: Path = tmp_path_factory.mktemp("huggingface")
    cases: dict[str, Any] = {}
    for name, (fields, tuned) in (CASES | TWINS).items():
        plan = plan_of(finish(INNER | fields, tuned), width=128, depth=2)
        for kind in ("torch", "huggingface"):
            (folder / f"{name}_{kind}.py").write_text(export(plan, kind))
        train = load(plan.task).train
        data = {"inputs": train.inputs[: STEPS * BATCH].clone(), "labels": train.labels[: STEPS * BATCH].clone()}
        if plan.mixture_weights:
            data["sources"] = data["labels"]
        torch.save(data, folder / f"{name}.pt")
        arguments = {
            "max_steps": plan.steps,
            "per_device_train_batch_size": plan.batch_size,
            "max_grad_norm": plan.clip_norm or 0.0,
            "seed": plan.provenance.seed,
        }
        if plan.optimizer == "adamw":
            arguments |= {"adam_beta1": plan.beta1, "adam_beta2": plan.beta2}
        cases[name] = {"shares": [0.1] * 10, "arguments": arguments}
    for name, schedule in THEIRS.items():
        plan = plan_of(finish({"schedule": schedule}), width=128, steps=60)
        (folder / f"{name}.py").write_text(export(plan, "huggingface"))
    (folder / "cases.json").write_text(json.dumps(cases))
    (folder / "loop.py").write_text(LOOP)
    files = [f"{name}.py" for name in THEIRS]
    done = subprocess.run([sys.executable, "loop.py", *files], cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.partition("FOUND")[2])
    for name, case in cases.items():
        found[name]["asked"] = case["arguments"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_trainer_trains_as_the_torch_file_does(trained, name: str) -> None:
    """Losses of every step, rates of every group, final weights: to the last bit, for both run the same kernels."""
    found = trained[name]
    assert found["losses"] == found["expected"]
    assert len(set(found["losses"])) == STEPS
    assert found["apart"] == 0.0
    assert found["bare"] < 1e-5
    assert found["given"] == found["asked"]
    assert "an update would have 16 examples" in found["refusal"]
    for rates, multiplier in zip(found["rates"], found["multipliers"], strict=True):
        assert rates == pytest.approx([multiplier] * len(rates), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_a_model_of_the_library_trains_as_the_torch_file_does(trained, name: str) -> None:
    """To rounding, for its kernels are others; and without the plan it loads what a Trainer saved."""
    found = trained[name]
    assert found["losses"] == pytest.approx(found["expected"], rel=1e-5)
    assert len(set(found["losses"])) == STEPS
    assert found["apart"] < 1e-4
    assert found["bare"] < 1e-5
    assert found["given"] == found["asked"]


@pytest.mark.slow
@pytest.mark.parametrize("name", THEIRS)
def test_a_schedule_that_the_file_names_is_the_plans_own_at_every_update(trained, name: str) -> None:
    rows = trained[f"{name}.py"]
    assert len(rows) == 60
    for first, second, multiplier in rows:
        assert first == pytest.approx(multiplier, abs=1e-12)
        assert second == pytest.approx(multiplier / 10, abs=1e-12)


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "cosine", "warmup_fraction": 0.11},  # 6.6 updates of warmup: theirs are whole
        {"name": "warmup-stable-decay"},  # theirs begins at 0, one update behind
        {"name": "inverse-sqrt"},
    ],
    ids=str,
)
def test_a_schedule_that_hugging_face_does_not_have_is_not_named(finish, plan_of, schedule: dict[str, Any]) -> None:
    text = export(plan_of(finish({"schedule": schedule}), width=128, steps=60), "huggingface")
    assert "lr_scheduler_type" not in text
    assert f"Hugging Face has no schedule with the values of this {schedule['name']!r} one" in text
