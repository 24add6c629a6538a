"""Databases full of believable rows: the parts of `python -m scripts.fill`."""
