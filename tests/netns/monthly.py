"""A line with a monthly volume rests when it is used up, at both ends and over restarts."""

import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from lab.checks import main
from lab.stage import LabError
from lab.traffic import Iperf, Ping
from lab.tunnel import VPS_INNER
from lab.world import World

VOLUME = 3_000_000


def wait_for(condition, seconds):
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except (LabError, IndexError):
            pass  # While it reads its file again nobody answers.
        time.sleep(0.1)
    return False


def test(lab):
    world = World(lab.stage, lab.linkem, ["rate=50M delay=10ms queue=200ms"] * 2)
    tunnel = world.tunnel(lab.program)
    state = lab.stage.folder / "state"
    usage = state / "client.usage.json"
    tunnel.client_top["state_dir"] = state
    tunnel.links[1]["monthly"] = "3M"
    tunnel.start_server()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()

    def second_line():
        return tunnel.client_links()[1]

    lab.check("status shows the volume", second_line()["monthly_max_bytes"] == VOLUME)
    lab.check("… and the line carries frames", second_line()["role"] == "normal")
    pings = Ping(lab.stage, tunnel.home, VPS_INNER, count=400)
    load = Iperf(lab.stage, tunnel.vps, tunnel.home, VPS_INNER, seconds=6, down=True)
    lab.check("a line that has used up its volume is out of use within seconds",
              wait_for(lambda: second_line()["role"] == "never", 5))
    lab.check("… for the far end too",
              wait_for(lambda: tunnel.server_links()[1]["role"] == "never", 2))
    time.sleep(0.5)
    before = second_line()
    time.sleep(2)
    after = second_line()
    lab.at_most("bytes it receives in 2 s of load after that",
                after["counters"]["bytes_received"] - before["counters"]["bytes_received"], 20_000)
    lab.check("… while it stays up", after["state"] == "up" and after["reason"] == "over-cap")
    status = tunnel.status()
    lab.check("the peer is degraded, and the status says why",
              status["state"] == "degraded" and "used up its data volume" in status["reason"],
              status["reason"])
    lab.check("the table says so too", "carries no frames:" in tunnel.status(json_output=False))
    lab.check("and the log", "used up its monthly volume" in tunnel.client.output())
    lab.check("TCP goes on over the other line", load.result()["bps"] > 15e6)
    lab.at_most("pings lost over all that", pings.result()["lost"], 1)

    saved = json.loads(usage.read_text())["links"]["vps/wan2"]["bytes"]
    lab.check("what was used is on disk at once", saved >= VOLUME, str(saved))
    tunnel.client.kill()
    tunnel.start_client()
    tunnel.wait_up()
    tunnel.wait_links_up()
    lab.check("a killed client that is started anew knows of it", second_line()["role"] == "never")
    lab.check("… and the far end hears of it", wait_for(
        lambda: tunnel.server_links()[1]["role"] == "never", 2))

    tunnel.links[1]["monthly"] = "1G"
    tunnel.write_client()
    tunnel.client.send(signal.SIGHUP)
    lab.check("with a larger volume and SIGHUP it carries frames again", wait_for(
        lambda: second_line()["role"] == "normal", 5))
    lab.check("… and what it used is not forgotten", second_line()["monthly_used_bytes"] >= saved)

    usage.write_text("{")
    tunnel.client.send(signal.SIGHUP)
    time.sleep(1)
    tunnel.client.stop()
    text = usage.read_text()
    lab.check("at the end the file is whole, whatever somebody wrote into it", text.startswith(
        '{"schema":1,'), text)
    usage.write_text("{")
    tunnel.start_client()
    tunnel.wait_up()
    lab.check("a broken file is told, and stops nothing",
              "counted from zero" in tunnel.client.output())
    tunnel.check_alive()


main(test)
