"""Reports: one self-contained page, tables for papers, figures in vector form."""

from mipnet.bench.report.report import Report, build_report
from mipnet.bench.report.table import Table

__all__ = ["Report", "Table", "build_report"]
