"""The work: keeping executions and workflows in SQL. The only place that commits."""
