"""Where workflow authors' Python runs, away from this process. Nothing of Nova is importable there."""
