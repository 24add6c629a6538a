"""The gateway's speed beside an empty server's and another gateway's: `python -m scripts.bench --help`."""
