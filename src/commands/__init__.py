"""The commands of `python -m src`, by topic; `src/__main__.py` lists them. What they do is the runtime's."""
