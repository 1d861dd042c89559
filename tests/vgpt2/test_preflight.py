import hashlib
import json

import pytest

from vgpt2.preflight import AUDIT_VERSION, audit_mistake


@pytest.fixture
def audited(tmp_path):
    """A file with a passed audit, and a way to write another verdict beside it."""
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    verdict = {"passed": True, "version": AUDIT_VERSION, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}

    def write(manifest):
        path.with_name("rows.jsonl.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    write({"audit": verdict})
    return path, verdict, write


def test_a_passed_audit_of_these_bytes_lets_the_file_through(audited):
    assert audit_mistake(audited[0]) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"passed": False}, "its audit has not passed"),
        ({"version": AUDIT_VERSION - 1}, f"its audit is of version {AUDIT_VERSION - 1}, and this version asks for {AUDIT_VERSION}"),
        ({"sha256": "0"}, "changed since its audit"),
    ],
)
def test_every_other_verdict_is_refused_with_the_cure(audited, change, says):
    path, verdict, write = audited
    write({"audit": verdict | change})
    mistake = audit_mistake(path)
    assert says in mistake
    assert mistake.endswith(f"python -m vgpt2.datagen audit {path}, or --set data.require_audit=false")


@pytest.mark.parametrize("manifest", [{}, {"audit": None}, []])
def test_a_manifest_without_a_verdict_is_none(audited, manifest):
    path, _, write = audited
    write(manifest)
    assert "its audit has not passed" in audit_mistake(path)


def test_a_changed_byte_is_noticed(audited):
    audited[0].write_text("{ }\n", encoding="utf-8")
    assert "changed since its audit" in audit_mistake(audited[0])
