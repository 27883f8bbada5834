"""Reads what W&B keeps offline: `run-ID.wandb`, a log of records in LevelDB's format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 32768
HEADER = 7  # bytes: checksum (4), length (2), kind (1)


def records(folder: Path) -> list[Any]:
    """All records of all offline runs of a run folder, in order."""
    files = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert files, "there is no offline run"
    found = []
    for file in files:
        for data in chunks(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            found.append(record)
    return found


def chunks(content: bytes) -> Iterator[bytes]:
    """The records as bytes; long ones are put together from their parts."""
    place, parts = HEADER, b""  # W&B begins its file with seven bytes of its own
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        if kind == 0:
            return
        parts += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def of_kind(folder: Path, kind: str) -> list[Any]:
    return [getattr(record, kind) for record in records(folder) if record.WhichOneof("record_type") == kind]


def history(folder: Path) -> list[dict[str, Any]]:
    """What was logged, a row a call."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item}
        for row in of_kind(folder, "history")
    ]


def config(folder: Path) -> dict[str, Any]:
    """The config as the last records leave it."""
    found: dict[str, Any] = {}
    for record in [*(run.config for run in of_kind(folder, "run")), *of_kind(folder, "config")]:
        for item in record.update:
            node = found
            *path, last = list(item.nested_key) or [item.key]
            for part in path:
                node = node.setdefault(part, {})
            node[last] = json.loads(item.value_json)
    return found
