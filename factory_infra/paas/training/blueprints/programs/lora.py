"""Fine-tunes a language model by low-rank adapters (LoRA): only the adapter is trained, kept and registered.

The base is a folder with a model of `transformers`, or, where none is named, a tiny one of random weights made from a configuration:
it needs no download, shows that everything works, and is the same for the same seed.
"""

import json
import time
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model  # type: ignore[import-not-found]  # of the training environment
from transformers import (  # type: ignore[import-not-found]  # of the training environment
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from factory_infra.paas.training.blueprints.programs.hardware import chosen, hardware
from factory_infra.paas.training.blueprints.programs.kit import (
    RESULT_FILE,
    TrackedRun,
    checkpoints,
    leave,
    order,
    progress,
    report,
    say,
    surroundings,
)

TEXT_FILE = "text.txt"
ADAPTER = ("adapter_model.safetensors", "adapter_config.json")
HELD_OUT_SHARE = 0.1
BYTES = 256
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TEXT = """One engine turned one long shaft, and every machine took its power from that line.
A belt ran from the shaft to each loom, to each lathe and to each press.
Whoever wanted power threw a lever, and the belt slid over to the turning wheel.
Whoever had done threw it back, and the shaft turned on for the others.
"""


def main() -> None:
    """Train the adapter, prove that it alone is enough, track and leave it."""
    told = order()
    seed = int(str(told["seed"]))
    torch.manual_seed(seed)
    device = chosen(told)
    base = base_model(told).to(device)
    base_bytes = sum(each.numel() * each.element_size() for each in base.parameters())
    examples, held_out = (each.to(device) for each in text(told))
    before = loss_of(base, held_out)
    model = get_peft_model(base, config_of(told))
    began = time.monotonic()
    losses = trained(model, told, examples)
    found = {"loss_before": before, "loss_after": loss_of(model, held_out), "seconds": time.monotonic() - began}
    folder = Path("adapter")
    model.save_pretrained(folder)
    sizes = {"adapter_bytes": float((folder / ADAPTER[0]).stat().st_size), "base_bytes": float(base_bytes)}
    counted = sum(each.numel() for each in model.parameters() if each.requires_grad)
    again = loss_of(PeftModel.from_pretrained(base_model(told).to(device), folder), held_out)
    if abs(again - found["loss_after"]) > 1e-3:
        raise SystemExit(f"adapter_differs: loaded again it has the loss {again:.4f}, not {found['loss_after']:.4f}")
    kept(told, found | sizes | {"trained_parameters": float(counted), "loss_loaded_again": again}, losses, folder)


def base_model(told: dict[str, object]) -> PreTrainedModel:
    """The model that is adapted; its own weights stay as they are."""
    if told.get("base"):
        return AutoModelForCausalLM.from_pretrained(str(told["base"]), local_files_only=True)
    torch.manual_seed(int(str(told["seed"])))
    width, layers = int(str(told["width"])), int(str(told["layers"]))
    shape = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=BYTES, max_position_embeddings=1024, pad_token_id=0, bos_token_id=1, eos_token_id=2, **shape)
    return LlamaForCausalLM(config)


def config_of(told: dict[str, object]) -> LoraConfig:
    """Which matrices get an adapter, of which rank."""
    rank = int(str(told["rank"]))
    targets = [str(each) for each in told.get("targets") or TARGETS]  # type: ignore[attr-defined]  # a list, from JSON
    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")


def text(told: dict[str, object]) -> tuple[torch.Tensor, torch.Tensor]:
    """The text as pieces of equal length: those to learn, and those held out. Without a base, a byte is a token."""
    file = Path(TEXT_FILE)
    written = file.read_text(encoding="utf-8") if file.exists() else TEXT * 8
    if told.get("base"):
        tokens = AutoTokenizer.from_pretrained(str(told["base"]), local_files_only=True)(written)["input_ids"]
    else:
        tokens = list(written.encode())
    length = min(int(str(told["length"])), len(tokens) // 2)
    if length < 2:
        raise SystemExit("text_too_short: there is nothing to learn in it")
    pieces = torch.tensor(tokens[: len(tokens) // length * length]).view(-1, length)
    held_out = max(int(len(pieces) * HELD_OUT_SHARE), 1)
    return pieces[held_out:], pieces[:held_out]


def loss_of(model: torch.nn.Module, pieces: torch.Tensor) -> float:
    """The mean loss a token."""
    model.eval()
    with torch.no_grad():
        return float(model(input_ids=pieces, labels=pieces).loss)


def trained(model: torch.nn.Module, told: dict[str, object], pieces: torch.Tensor) -> list[float]:
    """Train the adapter's own parameters, from the checkpoint of an earlier attempt where there is one."""
    own = [each for each in model.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(own, lr=float(str(told["learning_rate"])))
    generator = torch.Generator().manual_seed(int(str(told["seed"])))
    steps, batch, losses = int(str(told["steps"])), int(str(told["batch"])), list[float]()
    file = checkpoints() / "adapter.pt"
    if file.exists():
        before = torch.load(file, weights_only=True, map_location="cpu")
        for mine, kept_before in zip(own, before["own"], strict=True):
            mine.data.copy_(kept_before)
        losses += before["losses"]
    every = max(steps // 10, 1)
    model.train()
    for step in range(len(losses), steps):
        chosen = pieces[torch.randint(len(pieces), (batch,), generator=generator)]
        optimiser.zero_grad()
        loss = model(input_ids=chosen, labels=chosen).loss
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if (step + 1) % every == 0:
            report(step + 1, losses[-1])
            progress(90 * (step + 1) / steps, f"step {step + 1} of {steps}")
            torch.save({"own": [each.detach().cpu() for each in own], "losses": losses}, file.with_name(".adapter.new"))
            file.with_name(".adapter.new").replace(file)
    return losses


def kept(told: dict[str, object], found: dict[str, float], losses: list[float], folder: Path) -> None:
    """Track what came out with the adapter's own files, and leave it."""
    run = TrackedRun(told)
    asked = {name: told[name] for name in ("steps", "batch", "rank", "length", "learning_rate", "seed")} | {
        "base": told.get("base") or "tiny"
    }
    tags = {str(name): str(value) for name, value in dict(told.get("tags") or {}).items()}  # type: ignore[call-overload]  # JSON
    run.log(found, asked, {**tags, **surroundings(), **hardware(chosen(told))})
    run.series("loss", losses)
    for name in ADAPTER:
        run.upload(folder / name)
    run.end()
    leave(RESULT_FILE, json.dumps({**found, "losses": losses, "value": found["loss_after"], "run_id": run.run_id}))
    progress(100, "done")
    say(
        f"on {chosen(told).type}: held-out loss {found['loss_before']:.4f} to {found['loss_after']:.4f}; "
        f"the adapter has {found['adapter_bytes']:.0f} bytes, its base {found['base_bytes']:.0f}"
    )


if __name__ == "__main__":
    main()
