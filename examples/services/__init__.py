"""Stand-ins for what the examples call: they speak the real formats, answer the same every time, need no account."""
