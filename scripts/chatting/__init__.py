"""The pieces of the terminal chat: who is asked, what a line means, what is shown, when nothing is awaited any more."""
