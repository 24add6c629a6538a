"""The ways out to WhatsApp's providers: Meta's Graph API and Twilio."""
