"""The OpenAPI document: made once at start from the types that decode requests and describe answers."""
