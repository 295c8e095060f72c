"""Models of simulated values: what a scenario can ask for (`config`), what produces the values (`generators`),
and files that are replayed (`csv_file`).

docs/models.md shows what each model looks like.
"""
