"""The peers' models with the benchmark's weights: transformers' own, its layers in NF4, and what Unsloth makes of a folder of them."""

import tempfile
from typing import Any

import torch
from gpu_cases import SIZES, TARGETS, Case, fill, filled
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from transformers.initialization import no_init_weights
from workload import WORDS


def config_of(case: Case) -> Qwen2Config:
    shape = SIZES[case.size]
    return Qwen2Config(
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        vocab_size=shape.vocab_size,
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope.theta},
    )


def build(case: Case, device: torch.device, *, attn: str) -> Any:
    """transformers' model, made on the device; an NF4 layer at a time, so that the 16-bit model never exists whole."""
    config = config_of(case)
    config._attn_implementation = attn
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else torch.float32)
    try:
        with torch.device("meta") if case.nf4 else device:
            model = Qwen2ForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    return quantised(model, device) if case.nf4 else filled(model)


@torch.no_grad()
def quantised(model: Any, device: torch.device) -> Any:
    """A model on the meta device with its layers' matrices in NF4, double quantisation, as transformers puts them there."""
    import bitsandbytes as bnb

    model.model.rotary_emb = type(model.model.rotary_emb)(model.config).to(device)
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and ".layers." in path:
            whole = torch.empty(module.weight.shape, dtype=module.weight.dtype, device=device)
            fill(f"{path}.weight", whole)
            packed = bnb.nn.Linear4bit(
                module.in_features,
                module.out_features,
                bias=module.bias is not None,
                compute_dtype=whole.dtype,
                compress_statistics=True,
                quant_type="nf4",
                device="meta",
            )
            codes = bnb.nn.Params4bit(whole, requires_grad=False, compress_statistics=True, quant_type="nf4", module=packed)
            packed.weight = codes.to(device)
            packed.bias = module.bias
            model.set_submodule(path, packed)
    for name, parameter in list(model.named_parameters()):
        if parameter.is_meta:
            value = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            fill(name, value)
            path, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(path), leaf, nn.Parameter(value))
    model.requires_grad_(False)
    model.is_loaded_in_4bit = True
    return model


def unsloth(case: Case, device: torch.device, *, checkpointing: bool) -> Any:
    """Unsloth's model with its own adapters, from a folder, which is all that it loads from; `import unsloth` came before transformers."""
    from unsloth import FastLanguageModel

    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with tempfile.TemporaryDirectory() as folder:
        on_host(case, dtype, device).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        model, _ = FastLanguageModel.from_pretrained(
            folder, max_seq_length=case.longest, dtype=dtype, load_in_4bit=case.nf4, local_files_only=True
        )
    return FastLanguageModel.get_peft_model(
        model,
        r=case.rank,
        lora_alpha=case.rank,
        lora_dropout=0,
        bias="none",
        target_modules=TARGETS,
        use_gradient_checkpointing="unsloth" if checkpointing else False,
    )


@torch.no_grad()
def on_host(case: Case, dtype: torch.dtype, device: torch.device) -> Any:
    """transformers' model in the host's memory; each tensor is filled on the device, whose random numbers are its own."""
    torch.set_default_dtype(dtype)
    try:
        with no_init_weights():
            model = Qwen2ForCausalLM(config_of(case))
    finally:
        torch.set_default_dtype(torch.float32)
    for name, parameter in model.named_parameters():
        value = torch.empty(parameter.shape, dtype=dtype, device=device)
        fill(name, value)
        parameter.copy_(value)
    return model


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, so that lengths are exact."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, WORDS)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
