"""Studies: models on tasks under policies, on chips; what they answer, beside how fast it could be.

Imports nothing, so that the command starts at once: `sweep` runs, `metrics` measures, `store`
keeps, `report` and `picture` show, `tasks` and `models` say on what.
"""
