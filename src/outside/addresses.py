"""Which addresses are the internet's, and which belong to this machine, its network or its cloud. Pure.

The networks are those of IANA's registries of special-purpose addresses, and those that clouds answer at themselves.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_KINDS = """
    metadata 169.254.169.254/32 168.63.129.16/32 100.100.100.200/32 192.0.0.192/32 fd00:ec2::254/128
    private 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10
    loopback 127.0.0.0/8 ::1/128
    link-local 169.254.0.0/16 fe80::/10
    shared 100.64.0.0/10
    unspecified 0.0.0.0/8 ::/128
    multicast 224.0.0.0/4 ff00::/8
    reserved 192.0.0.0/24 192.88.99.0/24 198.18.0.0/15 240.0.0.0/4 2001::/23 64:ff9b:1::/48
    documentation 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20
    IPv4-in-IPv6 ::/96 ::ffff:0.0.0.0/96 ::ffff:0:0.0.0.0/96 2002::/16
"""
SPECIAL: tuple[tuple[str, Network], ...] = tuple(
    (kind, ip_network(network)) for kind, *networks in (line.split() for line in _KINDS.split("\n") if line.strip())
    for network in networks
)  # fmt: skip
GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""The upper half of an interface's number that is an IPv4 address."""


def what_is_special(address: Address) -> str | None:
    """Why `address` is none of the internet's; None for one that is."""
    for each in (address, *_inside(address)):
        for kind, network in SPECIAL:
            if each.version == network.version and each in network:
                return kind
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST and address not in NAT64:
        return "reserved"
    return None


def read_address(text: str) -> Address | None:
    """`text` as an address; None where it is a name, or one of the spellings that only resolvers read."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _inside(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that a gateway would take out of an IPv6 address."""
    if not isinstance(address, IPv6Address):
        return
    number = int(address)
    if address in NAT64 or (number >> 32) & 0xFFFF_FFFF in ISATAP:
        yield IPv4Address(number & 0xFFFF_FFFF)
