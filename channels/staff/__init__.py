"""What people of the organisation do in conversations: write, take over, hand back, ask for a draft."""
