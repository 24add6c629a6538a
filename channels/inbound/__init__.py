"""What has come in: webhooks are kept, then sorted into messages, states and dead letters."""
