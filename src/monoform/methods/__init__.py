"""The papers' systems: one file a paper, read top to bottom."""
