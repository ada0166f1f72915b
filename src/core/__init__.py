"""Rules, without I/O: what a graph means, what is next, what a status may become."""
