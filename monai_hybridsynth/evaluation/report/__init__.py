"""The report: pages, plots, pictures and the data card."""

from __future__ import annotations

from .report_page import write_report

__all__ = ["write_report"]
