"""What benchmarks leave: measurements so far, to go on from, and one file of tables with a section per benchmark."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

__all__ = ["keep_results", "write_section"]


def keep_results(path: Path, results: dict[str, Any]) -> None:
    """Write measurements as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(results, indent=1))
    part.replace(path)


def write_section(path: Path | None, title: str, lines: list[str]) -> None:
    """Print a section with the command that made it, and put it into ``path`` in place of its older version."""
    command = shlex.join(["python", *sys.argv])
    text = "\n".join([f"## {title}", "", "```", command, "```", "", *lines]) + "\n"
    print(text)
    if path is None:
        return
    parts = (path.read_text() if path.exists() else "# Measured results\n").split("\n## ")
    place = next((number for number, part in enumerate(parts) if part.startswith(title + "\n")), len(parts))
    parts[place : place + 1] = [text.removeprefix("## ")]
    path.write_text("\n\n## ".join(part.strip() for part in parts) + "\n")
