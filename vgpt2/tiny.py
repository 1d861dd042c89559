"""A random model of about a million weights with a tokenizer trained on the bundled catalogue: for tests and trials.

The same bytes on every run: weights come from one seeded numpy generator, merges from fixed text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vgpt2.llama_folder import Shape, Vocabulary, write_jsons, write_safetensors

CATALOGUE = Path(__file__).parents[1] / "data" / "catalogues" / "vista-core"
SEED = 0
SHAPE = Shape(
    vocab_size=2048,
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
    rms_norm_eps=1e-5,
    rope_theta=10_000.0,
)
END, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PHRASES = (
    "SELECT TOP 10 FROM dbo WITH (NOLOCK) INNER JOIN LEFT JOIN ON AND OR NOT NULL IS IN LIKE BETWEEN WHERE GROUP BY HAVING ORDER BY "
    "DESC COUNT(*) SUM( AVG( MIN( MAX( AS CASE WHEN THEN ELSE END ```sql\n```\n",
    "system\nuser\nassistant\nWrite a query that lists the columns of the table. Does the view exist? Yes, it does. No, it does not.\n",
)


def write_tiny(folder: Path) -> None:
    """Writes a Llama folder of 1.05 million random fp32 weights and a 2,048-entry tokenizer into the empty `folder`."""
    write_jsons(folder, SHAPE, train_vocabulary())
    shapes = weight_shapes(SHAPE)
    rng = np.random.Generator(np.random.PCG64(SEED))

    def weights() -> Iterator[tuple[str, np.ndarray]]:
        for name, shape in shapes.items():
            is_norm = name.endswith("norm.weight")
            yield name, np.ones(shape, np.float32) if is_norm else rng.standard_normal(shape, np.float32) * np.float32(0.02)

    write_safetensors(folder / "model.safetensors", shapes, weights())


def weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Hugging Face's names and shapes of a Llama decoder with a tied head."""
    D, I = shape.hidden_size, shape.intermediate_size
    KV = D // shape.num_attention_heads * shape.num_key_value_heads
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (D,),
        "self_attn.q_proj.weight": (D, D),
        "self_attn.k_proj.weight": (KV, D),
        "self_attn.v_proj.weight": (KV, D),
        "self_attn.o_proj.weight": (D, D),
        "post_attention_layernorm.weight": (D,),
        "mlp.gate_proj.weight": (I, D),
        "mlp.up_proj.weight": (I, D),
        "mlp.down_proj.weight": (D, I),
    }
    layers = {f"model.layers.{i}.{name}": size for i in range(shape.num_hidden_layers) for name, size in layer.items()}
    return {"model.embed_tokens.weight": (shape.vocab_size, D), **layers, "model.norm.weight": (D,)}


def train_vocabulary() -> Vocabulary:
    """A byte-level BPE of the names and descriptions in the bundled catalogue, a little SQL and ChatML's words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    special = [END, TURN_START, TURN_END]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=SHAPE.vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_lines(), trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(trained["vocab"], key=trained["vocab"].__getitem__)
    if len(tokens) != SHAPE.vocab_size:
        raise ValueError(f"{CATALOGUE}: its text gives {len(tokens)} tokens, not {SHAPE.vocab_size}; restore the bundled catalogue")
    merges = [(left, right) for left, right in trained["merges"]]
    return Vocabulary(tokens, merges, special, bos=TURN_START, eos=TURN_END, unk=END, chat_template=CHATML)


def _lines() -> Iterator[str]:
    for row in json.loads((CATALOGUE / "objects.json").read_text("utf-8")):
        yield f"{row['name']}: {row['description']}\n"
    for row in json.loads((CATALOGUE / "columns.json").read_text("utf-8")):
        yield f"SELECT {row['object']}.{row['column']} -- {row['type']}, {row['description']}\n"
    for _ in range(50):  # often enough to be merged
        yield from PHRASES
