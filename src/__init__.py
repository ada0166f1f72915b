"""Nova: a workflow server that runs JSON graphs durably, inline first."""
