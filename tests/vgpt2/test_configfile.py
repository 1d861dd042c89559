from pathlib import Path

import pytest
from pydantic import ValidationError

from vgpt2.config import TrainConfig
from vgpt2.configfile import ConfigError, flat, keys, load

SHIPPED = sorted(Path("configs").glob("*.yaml"))


def write(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def refusal(folder: Path, text: str, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, write(folder, text), overrides)
    return str(caught.value).splitlines()


def test_numbers_written_without_a_dot_are_read_by_declared_type(tmp_path):
    # YAML 1.1 takes 5e-7 for text
    cfg = load(TrainConfig, write(tmp_path, "model: {path: m}\noptim: {lr: 5e-7, betas: [9e-1, 0.95]}\n"))
    assert cfg.optim.lr == 5e-7
    assert cfg.optim.betas == (0.9, 0.95)


def test_every_mistake_is_named_at_once_with_its_line(tmp_path):
    text = "model: {path: m, dtyp: float32}\noptim:\n  schedule: cosin\nlora:\n  rank: 0\n  alpha: two\nepochs: true\n"
    lines = refusal(tmp_path, text)
    place = tmp_path / "run.yaml"
    assert f"{place}:1: unknown config key 'model.dtyp'; did you mean 'model.dtype'?" in lines
    assert any(line.startswith(f"{place}:3: key 'optim.schedule' is 'cosin'") and line.endswith("did you mean 'cosine'?") for line in lines)
    assert any(line.startswith(f"{place}:5: key 'lora.rank' is '0'; input should be greater than 0") for line in lines)
    assert any(line.startswith(f"{place}:6: key 'lora.alpha' is 'two'") for line in lines)
    assert any(line.startswith(f"{place}:7: key 'epochs' is 'True'") for line in lines)
    assert len(lines) == 5


def test_a_key_given_twice_is_refused_with_both_lines_and_values(tmp_path):
    lines = refusal(tmp_path, "model: {path: m}\ndpo:\n  beta: 0.1\n  loss: ipo\n  beta: 0.5\n")
    assert lines == [
        f"{tmp_path / 'run.yaml'}:3 and :5: key 'dpo.beta' is given twice (0.1, then 0.5); YAML would silently take 0.5, so keep one"
    ]


def test_ten_mistakes_are_shown_and_the_rest_counted(tmp_path):
    lines = refusal(tmp_path, "model: {path: m}\n" + "".join(f"wrong{i}: 1\n" for i in range(14)))
    assert len(lines) == 11
    assert lines[-1] == "and 4 more"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: [path", "not YAML"),
        ("- a\n- b\n", "a config is a mapping"),
        ("model: &m {path: m}\nlora: *m\n", "aliases"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("base: base.yaml\n", "no such file"),
        ("", "key 'model' is missing"),
        ("model: {path: m, quantization: nf4}\nlora: null\n", "model.quantization is nf4; such weights are frozen"),
        ("model: {path: m}\noptim: {paged: true}\n", "optim.paged is true; moments of adamw are not, so set optim.kind adamw8bit"),
        ("model: {path: m}\noptim: {in_backward: true}\n", "optim.in_backward is true; adapters' gradients are small"),
        ("model: {path: m}\nlora: null\noptim: {in_backward: true}\n", "the whole gradient never exists, so set optim.clip tensor"),
        ("model: {path: m}\nstage: dpo\nlora: {dropout: 0.1}\nbatch: {micro_batch_tokens: 8192}\n", "lora.dropout is 0.1; stage dpo"),
        ("model: {path: m}\nstage: dpo\n", "needs 8192, since one pair"),
        ("model: {path: m}\nbatch: {pack_tokens: 128}\n", "rows and packs are never cut"),
        ("model: {path: m}\ndpo: {loss: ipo, label_smoothing: 0.1}\n", "loss ipo has none"),
        ("model: {path: m}\ndpo: {loss: simpo}\n", "simpo needs a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, text, said):
    assert any(said in line for line in refusal(tmp_path, text))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"model: {path: \xff\xfe}\n")
    with pytest.raises(ConfigError, match="byte 14 is not UTF-8"):
        load(TrainConfig, path)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.lr", "not of the form key=value"),
        ("model.path.x=1", "holds a value, not a group"),
        ("optim.rl=1", "did you mean 'optim.lr'?"),
        ("optim.lr=[", "the value is not YAML"),
        ("stage=dop", "did you mean 'dpo'?"),
    ],
)
def test_a_wrong_override_is_named_as_it_was_typed(tmp_path, override, said):
    lines = refusal(tmp_path, "model: {path: m}\n", (override,))
    assert any(line.startswith(f"--set {override}") and said in line for line in lines)


def test_an_override_wins_over_the_file_and_null_removes_a_part(tmp_path):
    cfg = load(TrainConfig, write(tmp_path, "model: {path: m}\nlora: {rank: 8}\n"), ["lora=null", "optim.lr=1e-3"])
    assert cfg.lora is None
    assert cfg.optim.lr == 1e-3


def test_a_base_file_is_read_first_and_only_one_level_deep(tmp_path):
    write(tmp_path, "model: {path: m}\nlora: {rank: 8, alpha: 4}\n", "base.yaml")
    cfg = load(TrainConfig, write(tmp_path, "base: base.yaml\nlora: {rank: 2}\n"))
    assert (cfg.lora.rank, cfg.lora.alpha) == (2, 4.0)
    write(tmp_path, "base: run.yaml\n", "third.yaml")
    with pytest.raises(ConfigError, match="only one level"):
        load(TrainConfig, tmp_path / "third.yaml")


def test_a_mistyped_file_name_gets_the_nearest(tmp_path):
    write(tmp_path, "model: {path: m}\n", "sft.yaml")
    with pytest.raises(ConfigError, match=r"did you mean .*sft\.yaml"):
        load(TrainConfig, tmp_path / "stf.yaml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_configs_load_and_explain_every_key(path):
    load(TrainConfig, path, [f"stage={path.stem}"])
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        is_group = line.rstrip().endswith(":")
        assert not line.strip() or is_group or "#" in line, f"{path}:{number} has no comment"


def test_a_config_is_frozen():
    cfg = load(TrainConfig, Path("configs/tiny/sft.yaml"))
    with pytest.raises(ValidationError):
        cfg.epochs = 2


def test_a_dumped_config_loads_to_the_same_config(tmp_path):
    import yaml

    cfg = load(TrainConfig, Path("configs/dpo.yaml"), ["stage=dpo"])
    again = load(TrainConfig, write(tmp_path, yaml.safe_dump(cfg.model_dump(mode="json"))))
    assert again == cfg


def test_every_key_has_a_description_and_a_plain_type():
    rows = list(keys(TrainConfig))
    assert {"optim.lr", "dpo.beta", "lora.rank", "model.path"} <= {name for name, *_ in rows}
    assert all(description for *_, description in rows)
    assert not any("Annotated" in kind or "Optional" in kind for _, kind, *_ in rows)
    assert {name: kind for name, kind, *_ in rows}["lora.rank_pattern"] == "mapping of str to int"


def test_flat_names_leaves_by_dotted_keys():
    assert flat({"a": 1, "b": {"c": [2], "d": {"e": None}}}) == {"a": 1, "b.c": [2], "b.d.e": None}


def test_thousands_of_wrong_keys_are_counted_not_printed(tmp_path):
    lines = refusal(tmp_path, "model: {path: m}\n" + "".join(f"k{i}: 1\n" for i in range(2000)))
    assert lines[-1] == "and 1990 more"
