"""The walls, one file each. Every one is raised by the child around itself, and cannot be taken down again."""
