"""Hub names mean folders of the local cache; nothing is fetched."""

import pytest

from vgpt2.hub import folder_of


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    model = tmp_path / "hub" / "models--Qwen--Qwen2.5-0.5B"
    (model / "snapshots" / "abc123").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc123\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    return model


def test_a_name_in_the_cache_is_its_snapshot(cache):
    assert folder_of("Qwen/Qwen2.5-0.5B") == cache / "snapshots" / "abc123"


def test_a_path_is_itself_whether_it_exists_or_not(cache, tmp_path):
    (tmp_path / "runs").mkdir()
    for path in ("runs", "runs/none", "nothing", "../up/and/away", str(tmp_path / "x" / "y")):
        assert folder_of(path).as_posix() == path


@pytest.mark.parametrize("reference", ["../../../outside", "", "unknown"])
def test_a_reference_that_leads_elsewhere_is_not_followed(cache, reference):
    (cache / "refs" / "main").write_text(reference, "utf-8")
    with pytest.raises(ValueError, match="is no folder here and not in the hub's cache; fetch it with hf download"):
        folder_of("Qwen/Qwen2.5-0.5B")


def test_a_name_that_is_not_there_says_how_to_fetch_it(cache):
    with pytest.raises(ValueError, match="hf download Qwen/Qwen3-8B"):
        folder_of("Qwen/Qwen3-8B")
