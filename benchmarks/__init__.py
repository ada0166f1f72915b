"""How fast Nova is, as a ratio to the same writes by hand. `python -m benchmarks --help`."""
