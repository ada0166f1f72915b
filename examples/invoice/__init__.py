"""A supplier invoice from the mail to the client's database; `workflow.json` is the graph, `functions.py` the team's own code."""
