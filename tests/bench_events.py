"""A stream of two tokens, as an upstream sends it."""

from __future__ import annotations

EVENTS = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"one"}}]}\r\n\r\n'
    b": a comment\n\n"
    b'data: {"choices": [{"delta": {"content": " two"}}]}\n\n'
    b'data: {"choices":[],"usage":{}}\n\n'
    b"data: [DONE]\n\n"
)
