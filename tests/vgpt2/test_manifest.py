import hashlib
import json
import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
from faults.saving import save_step

from vgpt2 import manifest
from vgpt2.checkpoint import newest_good, save
from vgpt2.manifest import MANIFEST, verify

NAMES = ["adapter_model.safetensors", "manifest.json", "optimizer.safetensors", "state.json"]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run with checkpoints of the steps 1, 2 and 3; the tests damage step 3."""
    for step in (1, 2, 3):
        save_step(tmp_path, step)
    return tmp_path


def refusal(run_dir: Path) -> str:
    """The one line by which step 3 is refused while step 2 is used."""
    folder, refused = newest_good(run_dir)
    assert folder == run_dir / "step-000002"
    assert len(refused) == 1
    assert refused[0].startswith(f"{run_dir / 'step-000003'}: ")
    assert refused[0].endswith("; using step-000002, 1 steps will be repeated")
    return refused[0].removeprefix(f"{run_dir / 'step-000003'}: ").split(";")[0]


def test_one_flipped_bit_at_any_of_200_places_is_refused_by_file_name_and_the_older_checkpoint_used(run_dir):
    """INVARIANTS 53; fault plan 26."""
    rng = random.Random(0)
    refused = 0
    for place in range(200):
        file = run_dir / "step-000003" / NAMES[place % len(NAMES)]
        original = file.read_bytes()
        at, bit = rng.randrange(len(original)), rng.randrange(8)
        file.write_bytes(original[:at] + bytes([original[at] ^ 1 << bit]) + original[at + 1 :])
        assert file.name in refusal(run_dir)
        refused += 1
        file.write_bytes(original)
    assert newest_good(run_dir) == (run_dir / "step-000003", [])
    print(f"flipped bits refused: {refused} / 200")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [0, 1, 0.5, -1])
def test_a_truncated_file_is_refused_by_name(run_dir, name, length):
    """Fault plan 27."""
    file = run_dir / "step-000003" / name
    data = file.read_bytes()
    cut = {0: 0, 1: 1, 0.5: len(data) // 2, -1: len(data) - 1}[length]
    file.write_bytes(data[:cut])
    expected = "was altered or cut short" if name == MANIFEST else f"does not match its manifest ({cut:,} bytes instead of {len(data):,})"
    assert refusal(run_dir) == f"{name} {expected}"


def test_a_mismatch_reads_as_promised(run_dir):
    file = run_dir / "step-000003" / "optimizer.safetensors"
    old = json.loads((file.parent / MANIFEST).read_text("utf-8"))["files"][file.name]["sha256"]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    new = hashlib.sha256(file.read_bytes()).hexdigest()
    assert refusal(run_dir) == f"optimizer.safetensors does not match its manifest (sha256 {new[:4]}.. instead of {old[:4]}..)"


def test_files_and_folders_swapped_between_two_steps_are_refused(run_dir):
    """Fault plan 27."""
    two, three = run_dir / "step-000002", run_dir / "step-000003"
    shutil.copy(two / "state.json", three / "state.json")
    assert refusal(run_dir).startswith("state.json does not match its manifest")
    shutil.rmtree(three)
    shutil.copytree(two, three)
    assert refusal(run_dir) == "manifest.json is that of step 2"
    shutil.rmtree(three)
    shutil.copytree(run_dir / "step-000001", three)
    (three / MANIFEST).unlink()
    shutil.copy(two / MANIFEST, three)
    assert "manifest.json is that of step 2" in refusal(run_dir)


def forge(folder: Path, **changes) -> None:
    """A manifest with the right hash of itself, as only a person who means it would write."""
    body = json.loads((folder / MANIFEST).read_text("utf-8"))
    del body["sha256"]
    (folder / MANIFEST).write_bytes(manifest._render(body | changes))


@pytest.mark.parametrize("name", ["../state.json", "/etc/passwd", "a/b", "..", "C:\\x"])
def test_a_manifest_that_lists_a_name_outside_is_refused_without_reading_it(run_dir, name):
    """Fault plan 28."""
    three = run_dir / "step-000003"
    files = json.loads((three / MANIFEST).read_text("utf-8"))["files"]
    forge(three, files=files | {name: {"sha256": "0" * 64, "size": 1}})
    assert ascii(name) in refusal(run_dir)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "manifest.json is missing"),
        ("", "manifest.json was altered or cut short"),
        ("[]", "manifest.json was altered or cut short"),
        ("null", "manifest.json was altered or cut short"),
        ('{"sha256": 1}', "manifest.json was altered or cut short"),
        ("[" * 100_000, "manifest.json was altered or cut short"),
        ("x" * (17 << 20), "manifest.json is not a plain file of at most 16 MiB"),
    ],
    ids=["missing", "empty", "list", "null", "bare", "deep", "huge"],
)
def test_a_manifest_that_is_none_is_refused(run_dir, text, expected):
    """Fault plan 28."""
    file = run_dir / "step-000003" / MANIFEST
    file.unlink() if text is None else file.write_text(text, encoding="utf-8")
    assert refusal(run_dir) == expected


def test_a_manifest_of_another_format_is_refused_with_both_numbers(run_dir):
    forge(run_dir / "step-000003", format=2)
    assert refusal(run_dir) == "manifest.json has format 2"


def test_a_missing_and_an_unlisted_file_are_refused(run_dir):
    three = run_dir / "step-000003"
    (three / "extra.bin").write_bytes(b"x")
    assert refusal(run_dir) == "'extra.bin' is not in its manifest"
    (three / "extra.bin").unlink()
    (three / "state.json").unlink()
    assert refusal(run_dir) == "'state.json' is missing"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_in_a_checkpoint_is_refused_even_when_its_hash_is_right(run_dir, protocol):
    """Threat 1."""
    save(run_dir, 3, lambda folder: (folder / "state.json").write_bytes(pickle.dumps({"a": [1]}, protocol=protocol)) and None)
    assert refusal(run_dir).startswith("state.json is a pickle")


def test_a_torch_archive_in_a_checkpoint_is_refused(run_dir):
    save(run_dir, 3, lambda folder: (folder / "weights").write_bytes(b"PK\x03\x04" + b"x" * 50) and None)
    assert refusal(run_dir).startswith("weights is a pickle")


@pytest.mark.parametrize("header", [0x280, 0x380, 0x480, 0x580, 0x10280])
def test_a_safetensors_file_whose_header_length_looks_like_a_pickle_is_accepted(run_dir, header):
    data = header.to_bytes(8, "little") + b"{" + b" " * (header - 1)
    verify(save(run_dir, 3, lambda folder: (folder / "w.safetensors").write_bytes(data) and None))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.timeout(20)
def test_a_fifo_folder_device_or_hard_link_where_a_file_belongs_is_answered_without_hanging(run_dir):
    """Fault plan 45. A hard link is the same file: its bytes decide."""
    file = run_dir / "step-000003" / "state.json"
    data = file.read_bytes()
    file.unlink()
    os.mkfifo(file)
    assert refusal(run_dir).startswith("state.json is not a plain file")
    file.unlink()
    file.mkdir()
    assert refusal(run_dir).startswith("state.json is not a plain file")
    file.rmdir()
    (run_dir / "elsewhere").write_bytes(data)
    os.link(run_dir / "elsewhere", file)
    assert newest_good(run_dir)[0] == run_dir / "step-000003"
    manifest = run_dir / "step-000003" / MANIFEST
    manifest.unlink()
    os.mkfifo(manifest)
    assert refusal(run_dir).startswith("manifest.json is not a plain file")
