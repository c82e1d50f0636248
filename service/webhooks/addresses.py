"""Addresses that webhooks may go to: public ones, and networks that the operator of the server has named.

The name is resolved once, all of its addresses are checked, and the connection is made to one of those checked. So no name
that changes its mind between the check and the connection (DNS rebinding) leads inside.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

from service.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[..., list[Any]]
"""``socket.getaddrinfo`` or one like it."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as a translator of a network without IPv4 shows them."""

TUNNELS = tuple(ipaddress.IPv6Network(each) for each in ("::/96", "2001::/32", "2002::/16", "64:ff9b:1::/48"))
"""IPv6 addresses with an IPv4 address inside: compatible, Teredo, 6to4, local NAT64. No host on the internet needs one."""


class ForbiddenAddress(Exception):
    """A webhook may not go there."""


def why_not(address: Address, allowed: Sequence[Network] = ()) -> str | None:
    """Kind of an address that a webhook may not go to, in words; None where it may.

    Args:
        address: of the receiver.
        allowed: networks that are allowed whatever they are.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return why_not(inner, allowed)
    if any(address.version == network.version and address in network for network in allowed):
        return None
    kinds = {
        "unspecified": address.is_unspecified,
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "multicast": address.is_multicast,
        "a tunnel's": any(address in network for network in TUNNELS if address.version == 6),
        "site-local": isinstance(address, ipaddress.IPv6Address) and address.is_site_local,
        "reserved": address.is_reserved,
        "private": address.is_private,
        "not public": not address.is_global,
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def checked(host: str, port: int, allowed: Sequence[Network], resolve: Resolve = socket.getaddrinfo) -> list[Any]:
    """Addresses to connect to: every one of the host as ``getaddrinfo`` gives it, if a webhook may go to each.

    Raises:
        ForbiddenAddress: it may not go to one of them.
        OSError: there is no such host.
    """
    found = resolve(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    for *_, place in found:
        kind = why_not(ipaddress.ip_address(place[0]), allowed)
        if kind is not None:
            # The message does not say which: it must not tell a user the names and addresses of a closed network.
            raise ForbiddenAddress(f"{host} has an address that is {kind}; allowed: public ones")
    if not found:
        raise OSError(f"{host} has no address")
    return found
