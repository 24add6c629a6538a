"""Hypercorn on Trio made safe: contained connections, bounded writes, exact hang-ups, signals, drain.

Hypercorn parses and speaks HTTP/1.1, HTTP/2 and WebSocket; what touches the socket, the tasks and the deadlines is
written here, because Hypercorn's own part lets one connection end the server and one slow reader block its shutdown.
"""

from app.server.serve import serve, watch_signals
from app.server.settings import ServerSettings

__all__ = ["ServerSettings", "serve", "watch_signals"]
