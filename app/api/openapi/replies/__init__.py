"""What each surface answers, as types: for the document only, since answers are written by hand where speed matters.

tests/api/test_openapi_replies.py holds what the gateway really sends against them.
"""
