"""Writes sigmahq.yml: rules of the SigmaHQ repository with their fields renamed to fields of our events.

    map_sigmahq.py <clone of SigmaHQ/sigma> > sigmahq.yml; npm run format

Rules that use rare modifiers come first, so that each is in the selection. Only `logsource` and the names of fields are
changed; authors, ids and references stay, as the Detection Rule License 1.1 asks.
"""
import re
import subprocess
import sys

import yaml

REPOSITORY = sys.argv[1]
WANTED = 220
FOLDERS = (
    "rules/cloud/", "rules/identity/", "rules/application/", "rules/linux/", "rules/macos/", "rules/network/",
    "rules/web/", "rules/windows/process_creation/", "rules/windows/network_connection/",
)
RARE = ("|re", "|cidr", "base64", "windash", "fieldref", "|exists", "|all", ": null", "|cased", "|gt", "|lt")
NAMED = {
    "Image": "tool_name", "CommandLine": "error_message", "ParentImage": "client_name",
    "ParentCommandLine": "task", "OriginalFileName": "service", "User": "user_id",
    "CurrentDirectory": "session_id", "IntegrityLevel": "permission_profile", "Hashes": "approval_id",
    "eventName": "tool_name", "eventSource": "service", "errorCode": "error_code", "errorMessage": "error_message",
    "DestinationIp": "source_ip", "SourceIp": "source_ip", "DestinationHostname": "service",
    "DestinationPort": "latency_ms", "SourcePort": "upstream_ms",
}
TEXTS = [
    "agent_id", "method", "environment", "client_version", "auth_method", "gateway_version", "agent_version",
    "policy_engine", "permission_profile_version", "protocol_version", "gateway_id",
]
NUMBERS = ["response_size", "parameters_size", "step", "attempt"]


def values_of(value):
    return value if isinstance(value, list) else [value]


class Mapping:
    """One of our fields for each field of a rule."""

    def __init__(self):
        self.taken = {}

    def of(self, field, modifiers, value):
        if field in self.taken:
            return self.taken[field]
        named = NAMED.get(field)
        numeric = all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in values_of(value))
        compares = any(modifier in ("gt", "gte", "lt", "lte") for modifier in modifiers)
        pool = NUMBERS if numeric or compares else TEXTS
        used = set(self.taken.values())
        if named is None or named in used or (named.endswith("_ms") and not numeric):
            named = next((name for name in pool if name not in used), None)
        if named is None:
            raise ValueError("more fields than we have")
        self.taken[field] = named
        return named


def map_selection(node, mapping):
    if isinstance(node, dict):
        mapped = {}
        for key, value in node.items():
            field, *modifiers = str(key).split("|")
            ours = "" if field == "" else mapping.of(field, modifiers, value)
            if "fieldref" in modifiers:
                value = mapping.of(value, [], "")
            mapped["|".join([ours, *modifiers])] = value
        return mapped
    if isinstance(node, list):
        return [map_selection(item, mapping) for item in node]
    return node


def map_rule(text):
    rule = yaml.safe_load(text)
    mapping = Mapping()
    detection = {
        key: value if key == "condition" else map_selection(value, mapping)
        for key, value in rule["detection"].items()
    }
    kept = {key: rule[key] for key in ("title", "id", "author", "references", "date", "modified", "level") if key in rule}
    kept["license"] = "DRL 1.1"
    kept["logsource"] = {"product": "cairn"}
    kept["detection"] = detection
    return kept


def git(*args):
    return subprocess.run(["git", "-C", REPOSITORY, *args], check=True, capture_output=True, text=True).stdout


commit = git("rev-parse", "HEAD").strip()
files = [name for name in git("ls-tree", "-r", "HEAD", "--name-only").splitlines()
         if name.endswith(".yml") and name.startswith(FOLDERS)]
texts = {name: git("show", f"HEAD:{name}") for name in files[::3]}


def rarity(name):
    found = [mark for mark in RARE if mark in texts[name]]
    return (-len(found), name)


print(f"""# Rules of https://github.com/SigmaHQ/sigma at commit {commit},
# by the authors that each names, under the Detection Rule License (DRL) 1.1
# (https://github.com/SigmaHQ/Detection-Rule-License). Changed: the fields are renamed to fields of audit events and
# logsource is ours, by map_sigmahq.py beside this file. They are data of a test; none of them detects anything here.""")
written = 0
for name in sorted(texts, key=rarity):
    if written == WANTED:
        break
    if len(texts[name]) > 6000 or re.search(r"\|(expand|utf16|wide)|timeframe|count\(", texts[name]):
        continue
    try:
        rule = map_rule(texts[name])
    except ValueError:
        continue
    print(f"---\n# {name}")
    print(yaml.safe_dump(rule, sort_keys=False, allow_unicode=True, width=110), end="")
    written += 1
