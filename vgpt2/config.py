"""Every key of a training run: its type, its default and one line about it.

Nothing heavy is imported, so that a wrong key is answered before torch is loaded. Values come from YAML and
`--set a.b=c` (see configfile.py); `python -m vgpt2.train --keys` prints this file as a table. Each part is handed to
its user alone: `add_lora(model, cfg.lora, ...)`.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Count = Annotated[int, Field(gt=0, strict=True)]
Natural = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

DEFAULT_SYSTEM = "You are an expert on the Viewpoint Vista SQL Server database."


class Part(BaseModel):
    """A frozen group of keys that refuses unknown ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelSource(Part):
    path: str
    """folder of the base model: config.json, safetensors, tokenizer; or its hub name, where the hub's cache holds it"""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """precision of the matmuls and of frozen weights; auto: bfloat16 where the device has it"""
    quantization: Literal["nf4"] | None = None
    """nf4: frozen matrices in 4 bits (QLoRA), quantised while loading; embeddings, head and norms stay in `dtype`; null: none"""
    gradient_checkpointing: bool | Literal["auto"] | Natural = False
    """layers that run again in the backward: true, or how many; each costs a third of its time. auto: as few as the card needs"""
    offload_checkpoints: bool = False
    """CUDA: the inputs of those layers wait in the host's memory, copied beside the computation"""


class DataConfig(Part):
    train: tuple[str, ...] = ()
    """files, or names in the registry; required"""
    validation: Annotated[float, Field(ge=0, lt=1)] | str = 0.05
    """share of the training rows held out (no prompt on both sides), or a file; 0: none"""
    registry: str = "data/registry.json"
    """named data sets"""
    weights: dict[str, Positive] = {}
    """how often a set's rows count, by its name in train: {docs: 0.5} takes every other one; else the registry's"""
    caps: dict[str, Count] = {}
    """rows of a set at most, by its name in train; else the registry's"""
    system: str | None = DEFAULT_SYSTEM
    """the one system prompt, put first where a row has none; null: none"""
    cutoff_tokens: Count = 4096
    """longer rows are dropped and counted"""
    max_rows: Count | None = None
    """first rows only, for a trial; null: all"""
    workers: Natural | Literal["auto"] = "auto"
    """tokenising processes; 0: none, auto: by the size of the set"""
    cache: str | None = "checkpoints/.tokens"
    """folder where encoded rows are kept and mapped from, shared by runs; null: in memory, encoded at every start"""
    cache_gib: Positive = 20.0
    """size of that folder above which what was unused for longest is removed"""
    require_audit: bool = True
    """refuse a file whose manifest holds no passed audit"""


class LoRAConfig(Part):
    rank: Count = 16
    """columns of A, rows of B"""
    alpha: Positive = 32.0
    """the update is scaled by alpha / rank"""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """on the adapter's input; must be 0 in preference stages"""
    use_rslora: bool = False
    """scale by alpha / sqrt(rank) instead (Kalajdzievski 2023)"""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """names of the linear layers that get an adapter"""
    rank_pattern: dict[str, Count] = {}
    """other ranks, by the end of a layer's name, a regular expression, the first that fits: {down_proj: 64, 'layers.[0-3].*': 8}"""
    alpha_pattern: dict[str, Positive] = {}
    """other alphas, as above"""
    modules_to_save: tuple[str, ...] = ()
    """embedding, head and norms to train whole in fp32 at the same lr, by the end of their names: [embed_tokens, lm_head, norm]"""
    init: Literal["kaiming", "pissa"] = "kaiming"
    """pissa: A and B begin as the weight's largest singular directions (Meng et al. 2024); kaiming: B at 0"""
    use_dora: bool = False
    """train the length of each weight's rows apart from their direction (DoRA); slower, keeps each adapted layer's output once more"""
    loraplus_ratio: Positive = 1.0
    """learning rate of B over that of A (LoRA+), 16 in the paper; 1: the same"""

    @field_validator("rank_pattern", "alpha_pattern")
    @classmethod
    def _are_expressions(cls, patterns: dict[str, float]) -> dict[str, float]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is no regular expression ({error}); give the end of a layer's name: down_proj") from None
        return patterns


class BatchConfig(Part):
    pack_tokens: Count = 4096
    """SFT: tokens of one pack"""
    packs_per_step: Count = 16
    """SFT: packs of one optimizer step"""
    examples_per_step: Count = 16
    """DPO: pairs, KTO: answers of one optimizer step"""
    micro_batch_tokens: Count = 4096
    """tokens of one forward and backward: memory only, never the mathematics"""


class OptimConfig(Part):
    kind: Literal["adamw", "adamw8bit"] = "adamw"
    """adamw8bit: moments in 8 bits, a scale for every 256 values (bitsandbytes); tensors under 4096 values keep theirs in fp32"""
    paged: bool = False
    """CUDA on Linux, adamw8bit: moments in memory that the driver moves between card and host, where the card is too small for them"""
    in_backward: bool = False
    """full fine-tune: each weight steps as soon as its gradient is there, bf16 weights round stochastically; one micro-batch a step"""
    lr: Positive = 2e-4
    """peak learning rate"""
    schedule: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    """after the warm-up; wsd: constant, then down in the last `decay_ratio` of all steps"""
    warmup_ratio: Share = 0.03
    """share of all steps"""
    warmup_steps: Natural | None = None
    """takes the place of warmup_ratio when given"""
    decay_ratio: Annotated[float, Field(gt=0, le=1)] = 0.1
    """wsd only: share of all steps in which the learning rate falls, linearly"""
    min_lr_ratio: Share = 0.0
    """the last learning rate as a share of the peak"""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """decay of Adam's moments"""
    eps: Positive = 1e-8
    """added to the root of the second moment"""
    weight_decay: NonNegative = 0.0
    """decoupled; matrices only"""
    max_grad_norm: Positive | None = 1.0
    """norm above which the step's gradient is scaled down; null: never"""
    clip: Literal["global", "tensor"] = "global"
    """whose norm max_grad_norm bounds: the whole gradient's, or each tensor's own"""


class CheckpointConfig(Part):
    save_every: Count = 200
    """steps; the last step is always saved"""
    keep: Count = 3
    """step folders kept beside best and latest"""
    eval_every: Count = 200
    """steps; the last step is always evaluated"""
    best_metric: str = "eval/loss"
    """which value chooses `best`, eval/... or the probe's task/...: down for losses and mistakes, up for accuracies and margins"""
    patience: Count | None = None
    """stop after this many evaluations without a better value; null: never"""


class ProbeConfig(Part):
    suite: str | None = None
    """file of questions that the model answers at each evaluation, judged as task/...; null: none"""
    catalogue: str = "data/catalogues/vista-core"
    """the database that they are about"""
    questions: Count = 24
    """how many, by turns from each group of the suite"""
    max_new_tokens: Count = 96
    """longest answer"""


class SFTConfig(Part):
    neftune_alpha: Positive | None = None
    """noise on the embeddings in training (NEFTune), 5 in the paper; null: none"""


class DPOConfig(Part):
    loss: Literal["sigmoid", "ipo", "hinge", "simpo", "orpo", "length_normalised"] = "sigmoid"
    """one file each under vgpt2/losses"""
    beta: Positive = 0.1
    """strength of the tie to the reference"""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """share of labels taken to be wrong (cDPO); sigmoid only"""
    sft_weight: NonNegative = 0.0
    """weight of the chosen answers' SFT loss beside the preference loss (RPO)"""
    simpo_gamma: NonNegative | None = None
    """SimPO's target margin, in units of the reward; simpo only, and needed there"""
    saturation_margin: Positive | None = None
    """stop when accuracy is 1 and the margin above this in `saturation_evals` evaluations; null: never"""
    saturation_evals: Count = 3
    """evaluations in a row"""


class KTOConfig(Part):
    loss: Literal["kto", "apo_zero"] = "kto"
    """one file each under vgpt2/losses"""
    beta: Positive = 0.1
    """strength of the tie to the reference"""
    desirable_weight: Positive | Literal["auto"] = "auto"
    """auto: the rarer class is weighted up until both weigh the same"""
    undesirable_weight: Positive | Literal["auto"] = "auto"
    """as above"""


class TrainConfig(Part):
    stage: Literal["sft", "dpo", "kto"] = "sft"
    """given by --stage"""
    run: str = ""
    """name of the run and of its folder; given by --run, else the stage's name"""
    output: str = "checkpoints"
    """folder of the runs"""
    init_adapter: str | None = None
    """LoRA adapter to go on from: an adapter folder, a step folder, or RUN/best"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one"""
    seed: Natural = 0
    """order, adapters and dropout are derived from it"""
    deterministic: bool = False
    """CUDA: bit-exact kernels only, slower; the CPU always is"""
    epochs: Count = 1
    """passes over the training rows"""
    max_steps: Count | None = None
    """stop earlier"""
    log_every: Count = 10
    """steps"""
    nonfinite_limit: Count = 5
    """skipped steps in a row after which the run stops"""
    model: ModelSource
    data: DataConfig = DataConfig()
    lora: LoRAConfig | None = LoRAConfig()
    """null: every weight is trained"""
    batch: BatchConfig = BatchConfig()
    optim: OptimConfig = OptimConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    probe: ProbeConfig = ProbeConfig()
    sft: SFTConfig = SFTConfig()
    dpo: DPOConfig = DPOConfig()
    kto: KTOConfig = KTOConfig()

    @model_validator(mode="after")
    def _keys_fit_together(self) -> "TrainConfig":
        if self.stage != "sft" and self.lora and self.lora.dropout:
            raise ValueError(f"lora.dropout is {self.lora.dropout}; stage {self.stage} compares two log-probabilities and needs 0")
        if self.model.quantization and not self.lora:
            raise ValueError(f"model.quantization is {self.model.quantization}; such weights are frozen, so give lora or quantization null")
        if self.model.quantization and self.lora and self.lora.init == "pissa":
            raise ValueError("lora.init is pissa; nf4 would round what it leaves of a weight, so set kaiming, or model.quantization null")
        if self.optim.in_backward and self.lora:
            raise ValueError("optim.in_backward is true; adapters' gradients are small, so set it false, or lora null for a full fine-tune")
        if self.optim.in_backward and self.optim.clip == "global" and self.optim.max_grad_norm is not None:
            raise ValueError("optim.in_backward is true; the whole gradient never exists, so set optim.clip tensor, or max_grad_norm null")
        if self.optim.paged and self.optim.kind != "adamw8bit":
            raise ValueError(f"optim.paged is true; moments of {self.optim.kind} are not, so set optim.kind adamw8bit, or paged false")
        if self.dpo.label_smoothing and self.dpo.loss != "sigmoid":
            raise ValueError(f"dpo.label_smoothing is {self.dpo.label_smoothing}; loss {self.dpo.loss} has none, so set 0 or loss sigmoid")
        if (self.dpo.simpo_gamma is None) == (self.dpo.loss == "simpo"):
            raise ValueError(f"dpo.simpo_gamma is {self.dpo.simpo_gamma}; loss simpo needs a number and the others null")
        batch, cutoff = self.batch, self.data.cutoff_tokens
        if self.stage == "sft" and not cutoff <= batch.pack_tokens <= batch.micro_batch_tokens:
            raise ValueError(
                f"data.cutoff_tokens {cutoff}, batch.pack_tokens {batch.pack_tokens}, batch.micro_batch_tokens {batch.micro_batch_tokens}: "
                "rows and packs are never cut, so none may be larger than the next"
            )
        longest = {"dpo": 2 * cutoff, "kto": cutoff}.get(self.stage, 0)
        if longest > batch.micro_batch_tokens:
            raise ValueError(
                f"batch.micro_batch_tokens is {batch.micro_batch_tokens}; stage {self.stage} needs {longest}, "
                f"since one {'pair' if self.stage == 'dpo' else 'answer'} of data.cutoff_tokens {cutoff} is never cut"
            )
        return self
