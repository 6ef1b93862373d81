"""offloads.py DEVICE 0|1: TSO, GSO and GRO of a network device, off or on."""

import ctypes
import fcntl
import socket
import struct
import sys

SIOCETHTOOL = 0x8946
SET_TSO, SET_GSO, SET_GRO = 0x1F, 0x24, 0x2C


def main():
    device, on = sys.argv[1].encode(), int(sys.argv[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for what in (SET_TSO, SET_GSO, SET_GRO):
            value = ctypes.create_string_buffer(struct.pack("II", what, on))
            fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP16x", device, ctypes.addressof(value)))


main()
