"""A stand-in for every upstream provider: every wire dialect, faults on cue, a book of what it served."""
