"""The pieces of the launcher: its data directory, the simulator beside it, the demo tenant, what it prints."""
