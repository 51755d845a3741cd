"""What a child does: modules with ``run(task)``, which yields messages, the last of them ``done``."""
