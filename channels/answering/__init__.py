"""The bot's turn: one at a time in each conversation, from what was heard to what is said, each step paid once."""
