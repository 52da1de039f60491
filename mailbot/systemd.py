"""Tell systemd how we are (sd_notify(3)).

Owns one datagram. Must never fail: a program that runs without systemd has nobody to tell.
"""

import os
import socket


def notify(state: str) -> None:
    """Send `state` to the socket systemd named, if it named one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket, as sd_notify(3) says
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(state.encode(), address)
    except OSError:
        return
