"""A long run under a rude crowd, and whether anything is left of it: `python -m scripts.soak --help`."""
