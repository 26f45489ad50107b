"""Out again: what a cohort knows as files that other tools read."""

from retrieval.exports.export import FORMATS, WHAT, ExportReport, export

__all__ = ["FORMATS", "WHAT", "ExportReport", "export"]
