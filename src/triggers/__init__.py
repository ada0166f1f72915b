"""When is it time for a worker? The five checks: their SQL, their thresholds, and what follows. Writes nothing."""
