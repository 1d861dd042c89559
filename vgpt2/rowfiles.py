"""Files of rows: JSON lines, one JSON array, parquet.

Every row comes with the line it starts on, and what cannot be read is a mistake of that line.
"""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgpt2.dropped import Mistakes

BLANK = re.compile(r"[ \t\r\n]*")
UTF8_MARK, UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
UTF8_CURE = "save the file as UTF-8"

Row = dict[str, Any]


def rows(path: Path, mistakes: Mistakes) -> Iterator[tuple[int, Row]]:
    """(line, row) for every object of the file; for parquet the row's number from 1. JSON lines are read one at a time.

    A row that cannot be read is added to `mistakes` and passed over. Raises ValueError when `path` is no readable regular file.
    """
    _require_file(path)
    if path.suffix.lower() == ".parquet":
        numbered = _parquet_values(path)
    elif _is_array(path):
        numbered = _array_values(path, mistakes)
    else:
        numbered = _line_values(path, mistakes)
    for line, value in numbered:
        if isinstance(value, dict):
            yield line, value
        else:
            mistakes.add(str(path), f"{path}:{line}: a row is a JSON object, not a {type(value).__name__}; see data/README.md")


def _require_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ValueError(f"{path}: {(error.strerror or 'cannot be read').lower()}; give a .jsonl, .json or .parquet file") from None
    if not stat.S_ISREG(mode):  # opening a FIFO would wait for ever
        raise ValueError(f"{path}: is not a regular file; give a .jsonl, .json or .parquet file")


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(UTF16_MARKS):
        raise ValueError(f"{path}: is UTF-16; {UTF8_CURE}")
    return head.removeprefix(UTF8_MARK).lstrip().startswith(b"[")


def _line_values(path: Path, mistakes: Mistakes) -> Iterator[tuple[int, object]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = raw.removeprefix(UTF8_MARK) if number == 1 else raw
            if not line.strip():
                continue
            try:
                yield number, json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                mistakes.add(str(path), f"{path}:{number}: byte {error.start + 1} is not UTF-8; {UTF8_CURE}")
            except json.JSONDecodeError as error:
                cure = "write one whole object a line, or one array of objects"
                mistakes.add(str(path), f"{path}:{number}: not JSON, {error.msg.lower()} at column {error.colno}; {cure}")
            except (RecursionError, ValueError) as error:
                mistakes.add(str(path), f"{path}:{number}: {_excess(error)}")


def _array_values(path: Path, mistakes: Mistakes) -> Iterator[tuple[int, object]]:
    """Elements one at a time, so that each has its line; nothing behind the first mistake can be trusted."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        mistakes.add(str(path), f"{path}:{line}: not UTF-8; {UTF8_CURE}")
        return
    decoder = json.JSONDecoder()
    line, counted = 1, 0
    at = _skip(text, text.index("[") + 1)
    is_open = text[at : at + 1] != "]"
    try:
        while is_open:
            line, counted = line + text.count("\n", counted, at), at
            value, at = decoder.raw_decode(text, at)
            yield line, value
            at = _skip(text, at)
            is_open = text[at : at + 1] == ","
            if is_open:
                at = _skip(text, at + 1)
        if text[at : at + 1] != "]" or _skip(text, at + 1) != len(text):
            raise json.JSONDecodeError("expecting ',' or one ']' at the end", text, at)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}"
        mistakes.add(str(path), f"{place}: not JSON, {error.msg.lower()} at column {error.colno}; mend or restore the file")
    except (RecursionError, ValueError) as error:
        mistakes.add(str(path), f"{path}:{line}: {_excess(error)}")


def _parquet_values(path: Path) -> Iterator[tuple[int, object]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(f"{path}: parquet needs pyarrow; pip install pyarrow, or convert the file to .jsonl") from None
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:80]
        raise ValueError(f"{path}: not readable as parquet behind row {number} ({reason}); restore the file") from None


def _skip(text: str, at: int) -> int:
    blank = BLANK.match(text, at)
    assert blank is not None
    return blank.end()


def _excess(error: Exception) -> str:
    """What json refuses although it is JSON: nesting, or numbers of thousands of digits."""
    return "nested too deeply; flatten the row" if isinstance(error, RecursionError) else "a number too long to read; shorten it"
