"""WhatsApp as its two providers serve it, and the phones at the other end (wire/whatsapp-meta.md, whatsapp-twilio.md).

Pure: `graph.GraphState` and `twilio.TwilioState` decide on a send, with the time as an argument. `phones.Phones` holds
both, tells the webhooks in time and plays the users; `surfaces` puts it all behind HTTP.
"""
