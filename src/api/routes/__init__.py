"""One file for each resource. Routes read a request, call the runtime, and show what it answers; nothing else."""
