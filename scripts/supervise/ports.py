"""A loopback port that a server can listen on."""

import random
import socket

# Below the range from which the kernel takes a client's own port. In there, a client that knocks
# at a stopped server's port can get that very port, and the server could never come back.
_CANDIDATES = range(20_000, 32_000)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on.

    Raises:
        OSError: there is none.
    """
    for port in random.sample(_CANDIDATES, len(_CANDIDATES)):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise OSError("Every port from 20000 to 31999 of this machine is in use; end some servers.")
