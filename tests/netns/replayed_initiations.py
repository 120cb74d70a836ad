"""Recorded initiations, sent again at 100 a second, neither keep a client out nor disturb a session."""

import multiprocessing
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import Inside, die_with_parent, enter_netns, ip
from lab.traffic import Ping
from lab.tunnel import PORT, VPS_INNER
from lab.world import SERVER, World

INITIATION = 200
WANTED = 64
RATE = 100


def record(lab, world, tunnel):
    """Genuine initiations: the client is started again and again before a server that says nothing."""
    with Inside(world.vps):
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind((SERVER, PORT))
    silent.settimeout(5)
    initiations = []
    while len(initiations) < WANTED:
        client = tunnel.start_client()
        try:
            while True:
                datagram = silent.recv(2048)
                if len(datagram) == INITIATION and datagram[0] == 1 and datagram not in initiations:
                    initiations.append(datagram)
                    break
        except TimeoutError:
            lab.check("the client sends initiations", False, client.tail())
            break
        client.kill()
    silent.close()
    return initiations


def replay(netns, initiations, sources):
    """Runs in a process of its own until it is ended: each datagram in turn, from each source in turn."""
    die_with_parent()
    enter_netns(netns)
    sockets = []
    for source in sources:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((source, 0))
        one.connect((SERVER, PORT))
        sockets.append(one)
    start, sent = time.monotonic(), 0
    while True:
        try:
            sockets[sent % len(sockets)].send(initiations[sent % len(initiations)])
        except OSError:
            pass  # The port is closed while no server runs.
        sent += 1
        time.sleep(max(0.0, start + sent / RATE - time.monotonic()))


def test(lab):
    world = World(lab.stage, lab.linkem)
    tunnel = world.tunnel(lab.program)
    tunnel.set_workers(lab.workers)
    # The attacker has addresses of his own, behind the same router.
    sources = [f"203.0.113.{number}" for number in range(1, 101)]
    for source in sources:
        ip(world.home, f"address add {source}/32 dev lo")
    ip(world.vps, f"route add 203.0.113.0/24 via {world.near(1)}")
    initiations = record(lab, world, tunnel)
    lab.check(f"{WANTED} genuine initiations were recorded", len(initiations) == WANTED, len(initiations))

    for count in (8, 100):
        attack = multiprocessing.get_context("fork").Process(
            target=replay, args=(world.home, initiations, sources[:count]), daemon=True)
        attack.start()
        try:
            time.sleep(0.5)
            tunnel.start_server()
            time.sleep(1)
            tunnel.start_client()
            lab.at_most(f"{count} sources, a server that knows nobody: a client is in after",
                        tunnel.wait_up(15), 1, " s")
            tunnel.wait_links_up()
            answer = Ping(lab.stage, tunnel.home, VPS_INNER, count=150).result()
            lab.at_most(f"{count} sources: pings lost in 3 s of it", answer["lost"], 0)
            tunnel.client.kill()
            tunnel.start_client()
            lab.at_most(f"{count} sources, the client starts anew: it is in after", tunnel.wait_up(15), 1, " s")
            lab.check("the attack still goes on", attack.is_alive())
            tunnel.check_alive()
        finally:
            attack.kill()
            attack.join()
        tunnel.stop()


main(test)
