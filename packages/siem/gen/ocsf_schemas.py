"""The published OCSF schema as JSON Schema, by ocsf-json-schema, which is not ours.

    pip install ocsf-json-schema==1.2.0
    python packages/siem/gen/ocsf_schemas.py packages/siem/test/published
"""

import json
import pathlib
import sys

from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"
CLASSES = {
    "api_activity": ["ai_operation", "security_control", "trace"],
    "detection_finding": [],
}

target = pathlib.Path(sys.argv[1])
source = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))
for name, profiles in CLASSES.items():
    schema = source.get_class_schema(class_name=name, profiles=profiles)
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    (target / f"ocsf-{VERSION}-{name}.json").write_text(text + "\n")
