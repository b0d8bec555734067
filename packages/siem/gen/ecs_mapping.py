"""The published mapping of the ECS field sets that we use, as one mapping, from a checkout of github.com/elastic/ecs at v9.4.0.

    python packages/siem/gen/ecs_mapping.py CHECKOUT packages/siem/test/published
"""

import json
import pathlib
import sys

VERSION = "9.4.0"
SETS = [
    "base", "ecs", "error", "event", "gen_ai", "observer", "organization", "rule", "service", "tracing", "user",
]


def merge(into, properties):
    for name, field in properties.items():
        if name in into and "properties" in field:
            merge(into[name]["properties"], field["properties"])
        else:
            into[name] = field


checkout, target = map(pathlib.Path, sys.argv[1:])
merged = {}
for name in SETS:
    path = checkout / "generated/elasticsearch/composable/component" / f"{name}.json"
    component = json.loads(path.read_text())
    assert component["_meta"]["ecs_version"] == VERSION, component["_meta"]
    merge(merged, component["template"]["mappings"]["properties"])
text = json.dumps({"properties": merged}, sort_keys=True, separators=(",", ":"))
(target / f"ecs-{VERSION}.json").write_text(text + "\n")
