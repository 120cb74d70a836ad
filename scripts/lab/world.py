"""The network most of the lab is about: a router with several lines to a VPS with one address.

        home                                                    vps
    wan1 192.0.2.18/28 ------- line 1 (linkem) -------- 192.0.2.17/28 wan1 |
    wan2 192.0.2.34/28 ------- line 2 (linkem) -------- 192.0.2.33/28 wan2 | lo 198.51.100.1
    …    each line's far end is its gateway
"""

from .lines import Lines
from .stage import ip
from .tunnel import PORT, Tunnel

SERVER = "198.51.100.1"
LINE = "rate=100M delay=10ms queue=200ms"


def keep_inner_inside(netns):
    """Without a tunnel its addresses are unreachable: else a ping would go by the default route to the
    VPS, which answers for all its addresses, and pass for one through the tunnel."""
    ip(netns, "route add unreachable 10.90.0.0/16 metric 4000")


class World:
    def __init__(self, stage, linkem, settings=(LINE, LINE), seed=7, shared=()):
        """`settings`: one string of linkem's words for each line. Without linkem the lines are veth
        pairs, which can be deleted and made again. `shared`: bottlenecks that lines can name."""
        self.stage = stage
        self.home, self.vps = stage.netns("home"), stage.netns("vps")
        self.names = [f"wan{i}" for i in range(1, len(settings) + 1)]
        self.lines = linkem and Lines(stage, linkem, [
            f"name={name} a={name}@{self.home} b={name}@{self.vps} {words}"
            for name, words in zip(self.names, settings)], seed, shared)
        ip(self.vps, f"address add {SERVER}/32 dev lo")
        keep_inner_inside(self.home)
        for number in range(1, len(settings) + 1):
            if not linkem:
                self.make_veth(number)
            self.set_addresses(number)

    def make_veth(self, number):
        name = self.names[number - 1]
        ip(self.home, f"link add {name} type veth peer name {name} netns {self.vps}")

    def set_addresses(self, number):
        name = self.names[number - 1]
        for netns, own in ((self.home, self.near(number)), (self.vps, self.far(number))):
            ip(netns, f"address add {own}/28 dev {name}")
            ip(netns, f"link set {name} up")
        if number == 1:
            # A router's own default route, which mwtun must leave alone.
            ip(self.home, f"route add default via {self.far(1)}")

    @staticmethod
    def near(number):
        """Address of the router on a line (from 1)."""
        return f"192.0.2.{16 * number + 2}"

    @staticmethod
    def far(number):
        """Address of the VPS's end of a line, the router's gateway there."""
        return f"192.0.2.{16 * number + 1}"

    def links(self):
        """What a client's file says of each line."""
        return [{"name": name, "bind": self.near(number), "device": name, "gateway": self.far(number)}
                for number, name in enumerate(self.names, 1)]

    def tunnel(self, program, number=0, links=None):
        """`number` tells several tunnels of one world apart; `links`: some of links() only."""
        return Tunnel(self.stage, program, self.vps, self.home, self.links() if links is None else links,
                      f"{SERVER}:{PORT + number}", f"mwt{number}", number)
