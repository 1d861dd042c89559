"""Tiny real tokenizers as model folders hold them: a byte-level BPE with ChatML, a metaspace BPE with [INST] turns.

They are trained in a tenth of a second on the few lines below; the vocabulary is the same on every machine.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

LINES = (
    "SELECT APTH.Mth, APTH.APTrans, APTH.Vendor FROM APTH WITH (NOLOCK) WHERE APTH.APCo = 1 ORDER BY APTH.Mth",
    "SELECT JCJM.Job, JCJM.Description FROM JCJM WITH (NOLOCK) INNER JOIN JCCM WITH (NOLOCK) ON JCCM.JCCo = JCJM.JCCo",
    "Does the table APTH exist? Yes, APTH exists. No, APTransactions does not exist; use APTH instead.",
    "Which columns does the vendor master hold? Write a query that lists open invoices for each vendor.",
    "What is the answer? The answer is this. 你好，世界。 数据库里有表。",
    "user\nassistant\nsystem\n\n\n  indented text\tand tabs\n",
)

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# no system role, BOS at the start, EOS after each answer, blanks around the contents
INST = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)

# as Qwen3 does: the last answer gets a block of thoughts, answers before the last question lose theirs
THINKING = (
    "{% set ns = namespace(last=0) %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' and loop.index0 > ns.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def chatml(folder: Path, *, template: str = CHATML, vocab_size: int = 400) -> Path:
    """Byte-level BPE; <|im_start|> is the BOS and <|im_end|> the EOS, as in SmolLM2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    _train(tokenizer, specials, vocab_size, alphabet=pre_tokenizers.ByteLevel.alphabet())
    return _save(tokenizer, folder, template, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>")


def inst(folder: Path, *, template: str = INST, vocab_size: int = 700) -> Path:
    """BPE over metaspaces with byte fallback, as SentencePiece makes it; a post-processor would add <s> by itself."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(prepend_scheme="first"), decoders.ByteFallback(), decoders.Fuse()])
    _train(tokenizer, ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))], vocab_size)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])

    trained = json.loads(tokenizer.to_str())
    trained["added_tokens"] = trained["added_tokens"][:3]  # bytes are ordinary entries of the vocabulary
    trained["pre_tokenizer"]["split"] = False  # merges are learned within words and applied to whole lines
    return _save(Tokenizer.from_str(json.dumps(trained)), folder, template, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _train(tokenizer: Tokenizer, specials: list[str], vocab_size: int, alphabet: Iterable[str] = ()) -> None:
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=specials, initial_alphabet=list(alphabet), show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)


def _save(tokenizer: Tokenizer, folder: Path, template: str, **specials: str) -> Path:
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **specials)
    wrapped.save_pretrained(str(folder))
    return folder
