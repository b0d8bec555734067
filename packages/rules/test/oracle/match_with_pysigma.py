"""Matches rules against events with pySigma and its SQLite backend, and prints what it found as JSON.

    match_with_pysigma.py <rules.yml> <events.ndjson> [<column of which no event has a value> …]

For a detection {"id": [index of each matched event]}, for a correlation {"id": [[group values], end in seconds]}.
The values of text fields compare without regard to case, as Sigma asks: the columns are collated so.
"""
import json
import re
import sqlite3
import sys

from sigma.backends.sqlite import sqliteBackend
from sigma.backends.sqlite.runtime import execute_plan
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule

rules_file, events_file, *columns = sys.argv[1:]
events = [json.loads(line) for line in open(events_file, encoding="utf-8")]
names = sorted({name for event in events for name in event} | set(columns))


def affinity(name):
    return "INTEGER" if any(isinstance(event.get(name), int) for event in events) else "TEXT COLLATE NOCASE"


expressions = {}


def regexp(pattern, value):
    if value is None:
        return None
    if pattern not in expressions:
        expressions[pattern] = re.compile(pattern)
    return expressions[pattern].search(str(value)) is not None


database = sqlite3.connect(":memory:")
database.create_function("REGEXP", 2, regexp, deterministic=True)
database.execute("CREATE TABLE logs (" + ", ".join(f"`{name}` {affinity(name)}" for name in names) + ")")
database.executemany(
    f"INSERT INTO logs VALUES ({', '.join('?' * len(names))})",
    [tuple(event.get(name) for name in names) for event in events],
)
database.execute("CREATE INDEX logs_n ON logs (n)")

# Keywords are searched in the text of all text fields.
database.execute("ALTER TABLE logs ADD COLUMN everything TEXT")
for event in events:
    text = "\n".join(value for name, value in event.items() if isinstance(value, str) and name != "time")
    database.execute("UPDATE logs SET everything = ? WHERE n = ?", (text, event["n"]))

backend = sqliteBackend(timestamp_format="unix_us", event_id_field="n", fulltext_field="everything")
collection = SigmaCollection.from_yaml(open(rules_file, encoding="utf-8").read())
collection.resolve_rule_references()
found = {}
for rule in collection.rules:
    # Also those that another correlation counts.
    rule._output = True
    name = str(rule.id or rule.name)
    if isinstance(rule, SigmaCorrelationRule):
        (converted,) = backend.convert_correlation_rule(rule, "zircolite")
        rows, _ = execute_plan(database, converted["correlation_plan"], include_events=False)
        found[name] = [[list(row["group_keys"].values()), row["occurrence_time"]] for row in rows]
        continue
    matched = set()
    for query in backend.convert_rule(rule):
        matched |= {row[0] for row in database.execute(query.replace("SELECT *", "SELECT n", 1))}
    found[name] = sorted(matched)
json.dump(found, sys.stdout)
