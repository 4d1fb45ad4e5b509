"""Opus as the wire has it: bare packets of 20 ms, each after its length (uint16), no container.

The decoder at hand (libsndfile's) reads Opus only in Ogg files, so that is how the packets
are dressed first. Sources: RFC 3533 (Ogg pages), RFC 7845 (Opus in Ogg), RFC 6716 §3.1 (the
first byte of an Opus packet).
"""

import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKET_SECONDS = 0.02
SAMPLE_RATE_HZ = 16_000


def decode_opus(data: bytes, *, seconds_max: float) -> "tuple[NDArray[np.float32], int]":
    """The samples (full scale is 1.0, mono) and how many of them are a second.

    Raises ``ValueError`` for what are no whole packets of 20 ms, or more than ``seconds_max``.
    """
    import soundfile

    packets = list(_packets(data, seconds_max))
    try:
        samples, rate_hz = soundfile.read(io.BytesIO(_ogg(packets)), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise ValueError(f"the opus packets cannot be decoded ({error})") from None
    if samples.ndim != 1:
        samples = samples.mean(axis=1)
    return samples, rate_hz


def _packets(data: bytes, seconds_max: float) -> Iterator[bytes]:
    place = count = 0
    while place < len(data):
        if place + 2 > len(data):
            raise ValueError("the opus data end within a packet's length")
        (length,) = struct.unpack_from("<H", data, place)
        packet = data[place + 2 : place + 2 + length]
        if not packet or len(packet) < length:
            raise ValueError(f"opus packet {count} is {'empty' if not length else 'truncated'}")
        if _seconds(packet) != PACKET_SECONDS:
            raise ValueError(f"opus packet {count} does not last 20 ms")
        count += 1
        if count * PACKET_SECONDS > seconds_max:
            raise ValueError(f"more than {seconds_max:g} s of audio")
        place += 2 + length
        yield packet


def _seconds(packet: bytes) -> float:
    """How long a packet lasts, by its first byte: 5 bits of configuration, 2 of frame count."""
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame_ms = (10.0, 20.0, 40.0, 60.0)[config % 4]
    elif config < 16:
        frame_ms = (10.0, 20.0)[config % 2]
    else:
        frame_ms = (2.5, 5.0, 10.0, 20.0)[config % 4]
    frames = (1, 2, 2, packet[1] & 0x3F if len(packet) > 1 else 0)[code]
    return frame_ms * frames / 1000


def _ogg(packets: list[bytes]) -> bytes:
    """An Ogg file around Opus packets, one per page; positions count 48 kHz samples."""
    head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 0, SAMPLE_RATE_HZ, 0, 0)
    tags = struct.pack("<8sI4sI", b"OpusTags", 4, b"node", 0)
    pages = [_ogg_page(head, 0, 0, 2), _ogg_page(tags, 0, 1, 0)]
    for number, packet in enumerate(packets, start=1):
        last = 4 if number == len(packets) else 0
        pages.append(_ogg_page(packet, number * 960, number + 1, last))
    return b"".join(pages)


def _ogg_page(packet: bytes, position: int, number: int, flags: int) -> bytes:
    lacing = b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])
    if len(lacing) > 255:
        raise ValueError(f"an opus packet of {len(packet)} bytes is too long")
    fields = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, 1, number, 0, len(lacing))
    page = fields + lacing + packet
    return page[:22] + struct.pack("<I", _ogg_checksum(page)) + page[26:]


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        crc = value << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc & 0x8000_0000 else 0)
        table.append(crc)
    return table


_CRC_TABLE = _crc_table()


def _ogg_checksum(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFF_FFFF) ^ _CRC_TABLE[crc >> 24 ^ byte]
    return crc
