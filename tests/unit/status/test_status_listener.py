import socket

import pytest

from masterflow.status.__main__ import _listening_socket


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_answers_do_not_wait_for_the_other_side_to_acknowledge_their_head(host: str) -> None:
    with (
        _listening_socket(host, 0, send_timeout_s=30) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
