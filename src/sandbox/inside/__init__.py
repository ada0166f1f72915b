"""What runs on the author's side of the walls: the fork server and its children. Imports nothing of Nova.

The executor starts it with its own interpreter and an empty environment, and is reached over sockets and pipes alone.
"""
