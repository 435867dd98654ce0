"""Which addresses lie on the public internet, decided by our own tables.

Python's `is_global` and `is_private` changed between patch releases and take NAT64, 6to4, IPv4-compatible
and site-local forms of the loopback for global; some public addresses (Azure's 168.63.129.16) are a
cloud's metadata service. So nothing here asks them. Source of the ranges: IANA's special-purpose
registries (RFC 6890 and what followed), the transition formats' own RFCs, the clouds' manuals.

Invariant: an address is judged by the innermost address it leads to, and an unknown form is refused.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Never opened, not even for a host that the owner named: who reads these reads a machine's credentials.
_METADATA = {
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",  # AWS ECS tasks
        "169.254.170.23",  # AWS EKS pod identity
        "168.63.129.16",  # Azure, globally routable
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
    )
}

_CLOSED_4 = tuple(
    (ipaddress.IPv4Network(net), what)
    for net, what in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_CLOSED_6 = tuple(
    (ipaddress.IPv6Network(net), what)
    for net, what in (
        ("::1/128", "loopback"),
        ("::/128", "unspecified"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214: the upper half of the interface identifier

# What the owner may open for one host: a home network, a carrier's or a VPN's range, this machine.
_OPENABLE = tuple(
    ipaddress.ip_network(net)
    for net in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)


def why_closed(address: Address, *, opened: bool = False) -> str | None:
    """Why nothing may connect to this address, or None. `opened`: the owner opened private ranges.

    Wrapped forms of the deprecated kinds (IPv4-compatible, Teredo, local NAT64) are refused whatever
    they wrap; IPv4-mapped, 6to4, NAT64 and ISATAP are judged by the IPv4 address inside.
    """
    if getattr(address, "scope_id", None):
        return "it names a zone of this machine"
    if address in _METADATA:
        return "it is a cloud's metadata service"
    if opened and any(address.version == net.version and address in net for net in _OPENABLE):
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return next((f"its range is {what}" for net, what in _CLOSED_4 if address in net), None)
    inner = _inside(address)
    if inner is not None:
        why = why_closed(inner)
        return f"it leads to {inner}: {why}" if why else None
    for net, what in _CLOSED_6:
        if address in net:
            return f"its range is {what}"
    return None if address in _GLOBAL_6 else "it is no global unicast address"


def is_private(address: Address) -> bool:
    """Whether it can only be reached because the owner opened it."""
    return why_closed(address) is not None


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one end at, for the forms that are still in use."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    number = int(address)
    low = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address in _NAT64:
        return low
    if address.sixtofour is not None:
        return address.sixtofour
    if number >> 32 & 0xFFFFFFFF in _ISATAP and why_closed(low):
        return low
    return None
