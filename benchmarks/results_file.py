"""One file of measured results, a section per benchmark; measuring again replaces the section."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

__all__ = ["write_section"]


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
