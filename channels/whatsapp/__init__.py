"""WhatsApp: what Meta and Twilio send, as one set of facts, and what goes back. Pure."""
