"""Workflows to run and to copy; each folder is one example, with the input it needs."""
