"""A supplier invoice, from mail to database: `workflow.json`, and the team's own code in `functions.py`."""
