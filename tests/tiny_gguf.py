"""A language model of a few thousand random weights, in a file that llama.cpp loads in milliseconds. What it says makes no sense."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter, TokenType

from factory_infra.paas.registry.providers.weights import Verified

WIDTH, HEADS, HIDDEN, CONTEXT_TOKENS = 32, 2, 64, 512
SHAPES = {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH, WIDTH),
    "attn_v": (WIDTH, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (HIDDEN, WIDTH),
    "ffn_up": (HIDDEN, WIDTH),
    "ffn_down": (WIDTH, HIDDEN),
}
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *(chr(code) for code in range(33, 127))]
TYPES = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256, *[TokenType.NORMAL] * 95]


def write_tiny_gguf(path: Path, seed: int = 0) -> Path:
    """Write a model of one layer with a token for each byte; another seed is another model."""
    writer = GGUFWriter(path, "llama")
    describe(writer)
    chance = np.random.default_rng(seed)

    def weights(*shape: int) -> npt.NDArray[np.float32]:
        return chance.normal(0, 0.3, shape).astype(np.float32)

    for name in ("token_embd", "output"):
        writer.add_tensor(f"{name}.weight", weights(len(TOKENS), WIDTH))
    for name, shape in SHAPES.items():
        writer.add_tensor(f"blk.0.{name}.weight", weights(*shape))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def describe(writer: GGUFWriter) -> None:
    """Say what the model is built like, and its tokens."""
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(0)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(TOKENS)
    writer.add_token_scores([0.0] * len(TOKENS))
    writer.add_token_types(TYPES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def pull_tiny(folder: Path, name: str, seed: int = 0) -> Path:
    """Put such a model where pulled weights lie, with what a pull notes beside it once the digest was right."""
    folder.mkdir(parents=True, exist_ok=True)
    path = write_tiny_gguf(folder / f"{name}.gguf", seed)
    stat, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
    noted = Verified(sha256=digest, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)
    path.with_name(f"{path.name}.verified.json").write_text(noted.model_dump_json())
    return path
