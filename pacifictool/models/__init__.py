"""Models of simulated values: what a scenario can ask for (`config`) and what produces the values (`generators`).

docs/wind-models.md shows what each model looks like.
"""
