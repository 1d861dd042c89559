"""Files of a source: encodings, and everything that is not a plain file inside its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vgpt2.sql.importers import files
from vgpt2.sql.importers.drafts import Unread
from vgpt2.sql.importers.scripts import read_folder

TEXT = "CREATE TABLE [Größe] (Maß int)"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode("utf-8"),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("cp1252"),
    ],
)
def test_every_encoding_of_sql_servers_tools_is_read(data: bytes) -> None:
    assert files.decode(data) == TEXT


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xfe", b"\xff\xfe\0", b"\0" * 99, bytes(range(256)), b"\xef\xbb\xbf"])
def test_any_bytes_give_a_text(data: bytes) -> None:
    assert isinstance(files.decode(data), str)


def script(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"CREATE TABLE {name} (A int)", "utf-8")
    return path


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    """Threat 12."""
    outside = script(tmp_path / "outside" / "secret.sql", "Secret")
    inside = script(tmp_path / "inside" / "T.sql", "T").parent
    try:
        (inside / "file.sql").symlink_to(outside)
        (inside / "folder").symlink_to(outside.parent, target_is_directory=True)
        (inside / "gone.sql").symlink_to(tmp_path / "nothing")
    except OSError:
        pytest.skip("this system or user may not make links")
    drafts = read_folder(inside)
    assert set(drafts.objects) == {"T"}
    assert sorted(place for place, _ in drafts.unread) == ["file.sql", "folder", "gone.sql"]
    assert all("is a link, and links are not followed" in reason for _, reason in drafts.unread)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_among_the_scripts_is_reported_and_not_waited_for(tmp_path: Path) -> None:
    """Threat row 45."""
    script(tmp_path / "T.sql", "T")
    os.mkfifo(tmp_path / "pipe.sql")
    (tmp_path / "folder.sql").mkdir()
    drafts = read_folder(tmp_path)
    assert set(drafts.objects) == {"T"}
    assert drafts.unread == [Unread("pipe.sql", "is not a plain file; links, folders, pipes and devices are not read here")]


def test_a_file_that_is_too_large_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "a.sql", "T")
    script(tmp_path / "b.sql", "U").write_bytes(b"-" * 200)
    monkeypatch.setattr(files.read_text, "__defaults__", (100,))
    drafts = read_folder(tmp_path)
    assert [(place, reason.partition(";")[0]) for place, reason in drafts.unread] == [("b.sql", "holds more than 100 bytes")]


def test_other_files_are_left_alone_and_a_folder_without_scripts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("CREATE TABLE T (A int)", "utf-8")
    with pytest.raises(ValueError, match=r"no script in this folder; the name of a script ends in \.ddl, .*\.sql"):
        read_folder(tmp_path)
    script(tmp_path / "deep" / "er" / "T.SQL", "T")
    assert set(read_folder(tmp_path).objects) == {"T"}
