"""What a conversation is made of: who writes, what was said, who answers, when it ends. Functions of a transaction."""
