"""What goes out: at the pace that the provider allows, sent once, and what came of it."""
