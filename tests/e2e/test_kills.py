#!/usr/bin/env python3
"""Nothing acknowledged is lost, nothing refused happens: kill -9 of the leader, and of all three nodes at once."""
import kills
from harness import main


def test_leader_killed_under_load_loses_nothing():
    kills.run("leader", 3)


def test_all_nodes_killed_at_once_lose_nothing():
    kills.run("all", 3)


main(globals())
