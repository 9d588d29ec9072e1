"""The report: one HTML file without scripts or links, readable on a phone, printed or offline."""

from edpipe.evaluation.report.write import write_report

__all__ = ["write_report"]
