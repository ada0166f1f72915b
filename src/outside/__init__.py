"""The way out: every connection that a node makes to somewhere else goes through here, and is looked at first."""
