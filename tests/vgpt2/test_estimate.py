"""The estimate as somebody runs it: tables for configs whose models are not here, refusals, exit codes."""

from pathlib import Path

import pytest

from vgpt2 import estimate

CONFIGS = sorted(Path("configs/models").glob("*.yaml"))


def test_there_are_five_model_configs():
    assert [path.stem for path in CONFIGS] == ["coder7b-lora-r64", "qwen32b-qlora", "qwen7b-full", "qwen7b-lora-r128", "qwen7b-lora-r256"]


def cells(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(name + "  ")]
    return line.removeprefix(name).split()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_model_config_fits_46_gib_and_a_half_in_all_three_stages(path, capsys):
    assert estimate.main(["--config", str(path), "--cap-gib", "46.5"]) == 0
    text = capsys.readouterr().out
    assert text.split()[:4] == ["GiB", "sft", "dpo", "kto"]
    assert all(0 < float(peak) <= 46.5 for peak in cells(text, "peak"))


def test_the_rows_add_up_to_the_peak(capsys):
    estimate.main(["--config", "configs/models/qwen32b-qlora.yaml", "--stage", "sft", "--cap-gib", "46.5"])
    lines = capsys.readouterr().out.splitlines()[1:]
    values = [float(line.split()[-1]) for line in lines[: 1 + next(i for i, line in enumerate(lines) if line.startswith("peak "))]]
    assert sum(values[:-1]) == pytest.approx(values[-1], abs=0.05)


def test_less_room_means_more_recomputed_layers_and_then_a_refusal_that_names_what_fits(capsys):
    path = "configs/models/qwen7b-lora-r128.yaml"
    layers = []
    for room in ("46.5", "40", "32"):
        assert estimate.main(["--config", path, "--stage", "sft", "--cap-gib", room]) == 0
        layers.append(int(cells(capsys.readouterr().out, "recomputed layers")[0]))
    assert layers == sorted(set(layers))
    assert estimate.main(["--config", path, "--stage", "sft", "--cap-gib", "22"]) == 1
    assert "needs 22.6 GiB of 22.0 with every layer recomputed; set it to 4096" in capsys.readouterr().out


def test_offloaded_inputs_move_to_the_host_and_make_room_for_larger_micro_batches(capsys):
    """32B: 64 layers, inputs of 8,192 x 5,120 x 2 bytes = 80 MiB, 128 MiB page-locked; one stays."""
    most, fewest = [], []
    for offload in ("false", "true"):
        options = ["--stage", "sft", "--cap-gib", "46.5", "--set", f"model.offload_checkpoints={offload}"]
        assert estimate.main(["--config", "configs/models/qwen32b-qlora.yaml", *options]) == 0
        text = capsys.readouterr().out
        most.append(int(cells(text, "largest micro-batch, tokens")[0].replace(",", "")))
        fewest.append(int(cells(text, "recomputed layers")[0]))
    assert most[1] > 2 * most[0]
    assert fewest[1] < fewest[0]
    assert float(cells(text, "inputs of recomputed layers")[0]) == pytest.approx(80 / 1024, abs=0.01)
    assert float(cells(text, "host memory, page-locked")[0]) == pytest.approx((fewest[1] - 1) * 128 / 1024, abs=0.01)


def test_paged_moments_are_the_hosts_and_let_a_full_fine_tune_onto_a_smaller_card(capsys):
    """7B: 7.6156e9 weights, two moments of a byte each, 14.19 GiB; two fp32 scales for 256 of them stay on the card, 0.22 GiB."""
    options = ["--config", "configs/models/qwen7b-full.yaml", "--stage", "sft", "--cap-gib", "24"]
    assert estimate.main(options) == 1
    assert "set optim.paged=true" in capsys.readouterr().out
    assert estimate.main([*options, "--set", "optim.paged=true"]) == 0
    text = capsys.readouterr().out
    assert [float(cells(text, name)[0]) for name in ("moments", "host memory, moments")] == [0.22, 14.19]
    assert float(cells(text, "peak")[0]) <= 24


def test_a_stage_that_the_config_refuses_says_why_and_the_others_have_figures(capsys):
    assert estimate.main(["--config", "configs/sft.yaml", "--cap-gib", "46.5"]) == 0
    text = capsys.readouterr().out
    assert cells(text, "peak")[1:] == ["-", "-"]
    assert "stage dpo compares two log-probabilities and needs 0" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["--set", "model.path=checkpoints/models/none"], "holds no config.json; put it there, or name one of Qwen2.5-7B"),
        (["--set", "lora.rnk=3"], "unknown config key 'lora.rnk'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(settings, message, capsys):
    assert estimate.main(["--config", "configs/sft.yaml", "--stage", "sft", *settings]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_folder_with_a_config_json_needs_no_weights(tmp_path, capsys):
    from vgpt2.embedded import build_tiny

    build_tiny(tmp_path / "model")
    for weights in (tmp_path / "model").glob("*.safetensors"):
        weights.unlink()
    assert estimate.main(["--config", "configs/tiny/sft.yaml", "--stage", "sft", "--set", f"model.path={tmp_path / 'model'}"]) == 0
    assert float(cells(capsys.readouterr().out, "peak")[0]) < 1
