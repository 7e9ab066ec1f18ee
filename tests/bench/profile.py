"""Shows from the events of `hostwright apply --format json` when each playbook ran and what its longest steps took."""

import json
import sys

plays = {}
with open(sys.argv[1], encoding="utf-8") as events:
    for line in events:
        event = json.loads(line)
        if event["event"] == "plan_finished":
            print(f"\nplanned after {event['at_ms'] / 1000:.1f} s")
        elif event["event"] == "play_started":
            plays[event["play"]] = (event["at_ms"], [])
        elif event["event"] == "step_finished":
            plays[event["play"]][1].append((event["at_ms"], event["took_ms"], event["host"], event["name"]))
for start, steps in plays.values():
    end = max(at for at, *_ in steps)
    print(f"{start / 1000:.1f} to {end / 1000:.1f} s")
    for at, took, host, name in sorted(steps):
        if took >= 500:
            print(f"  until {at / 1000:6.1f}  {took / 1000:6.1f} s  {host:12}  {name}")
