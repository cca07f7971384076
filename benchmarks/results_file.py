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
    before = path.read_text() if path.exists() else "# Measured results\n"
    kept = [part for part in before.split("\n## ") if not part.startswith(title + "\n")]
    path.write_text("\n## ".join(kept).rstrip() + "\n\n" + text)
