"""Suites by name and by file, their hashes, their samples."""

import hashlib

import pytest
import tiny_judge

from eval import suites


def test_a_suite_is_known_by_the_hash_of_its_bytes(tmp_path):
    path = tmp_path / "small.jsonl"
    items = tiny_judge.write_suite(path)
    (suite,) = suites.load([str(path)])
    assert (suite.name, suite.sha256, list(suite.items)) == ("small", hashlib.sha256(path.read_bytes()).hexdigest(), items)


def test_a_name_means_a_file_in_the_suites_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    tiny_judge.write_suite(tmp_path / "small.jsonl")
    assert suites.find("small") == tmp_path / "small.jsonl"
    with pytest.raises(ValueError, match=r"--suite smal: no such file, .* \(small\)"):
        suites.find("smal")


def test_a_suite_given_twice_is_refused(tmp_path):
    path = tmp_path / "small.jsonl"
    tiny_judge.write_suite(path)
    with pytest.raises(ValueError, match="stands in small too"):
        suites.load([str(path), str(path)])


def test_a_limit_draws_the_same_questions_in_their_order(tmp_path):
    path = tmp_path / "small.jsonl"
    items = tiny_judge.write_suite(path)
    loaded = suites.load([str(path)])
    drawn = suites.questions(loaded, 7)
    assert drawn == suites.questions(loaded, 7)
    assert len(drawn) == 7
    assert [items.index(item) for item in drawn] == sorted(items.index(item) for item in drawn)
    assert suites.questions(loaded, None) == suites.questions(loaded, 1000) == items
