"""Statistics with intervals, tables, figures and reports for any domain."""
