"""Sockets of Kafka's client under a name of their own: only those may be left to the collector.

kafka-python 3.0 leaves a socket open whose connection failed, or came when its client was closed
(`kafka.net.inet`). The filter of warnings in pyproject.toml passes over this name, and no other.
"""

import socket

from kafka.net.inet import KafkaNetSocket


class KafkaClientSocket(socket.socket):
    """A socket whose text, and with it the warning of its leak, names the client."""


def _socket(
    _: KafkaNetSocket,
    family: int = socket.AF_UNSPEC,
    sock_type: int = socket.SOCK_STREAM,
    proto: int = socket.IPPROTO_TCP,
) -> KafkaClientSocket:
    return KafkaClientSocket(family, sock_type, proto)


def name_them() -> None:
    """From now on Kafka's client connects with sockets of that name."""
    KafkaNetSocket.socket = _socket
