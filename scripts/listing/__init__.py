"""How fast lists answer: the parts of `python -m scripts.lists`."""
