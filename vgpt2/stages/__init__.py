"""The training stages: what a row becomes, how rows share a step, and which loss they get. The table is the whole registry."""

from vgpt2.stages.dpo import DPO
from vgpt2.stages.kto import KTO
from vgpt2.stages.sft import SFT

STAGES: dict[str, type[SFT] | type[DPO] | type[KTO]] = {"sft": SFT, "dpo": DPO, "kto": KTO}
