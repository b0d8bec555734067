import { type Correlation, type RuleSet, readRules } from '@cairn/rules';

/** Denials are counted by agent, and tools by agent; a deletion alerts by itself, and so does a denial that none follows. */
export const RULES = `
title: Denied call
name: denied
logsource: { product: cairn }
detection:
  selection: { decision: deny }
  condition: selection
---
title: Repeated denials
id: repeated-denials
level: high
correlation:
  type: event_count
  rules: [denied]
  group-by: [agent_id]
  timespan: 1m
  condition: { gte: 3 }
---
title: Any call
name: call
logsource: { product: cairn }
detection:
  selection: { kind: tool_call }
  condition: selection
---
title: Many tools
id: many-tools
level: medium
correlation:
  type: value_count
  rules: [call]
  group-by: [agent_id]
  timespan: 1m
  condition: { gte: 4, field: tool_name }
---
title: Deletion
id: deletion
level: critical
logsource: { product: cairn }
detection:
  selection: { action: delete }
  condition: selection
---
title: Deleted
name: deleted
logsource: { product: cairn }
detection:
  selection: { action: delete }
  condition: selection
---
title: Denied, and nothing deleted
id: undeleted
level: low
correlation:
  type: temporal
  rules: [denied, deleted]
  group-by: [agent_id]
  timespan: 1m
  condition: denied and not deleted
`;

/** @throws when a rule has a mistake. */
export function rulesOf(text: string = RULES): RuleSet {
  const { rules, mistakes } = readRules([{ file: 'rules.yml', text }]);
  if (mistakes.length > 0) throw new Error(JSON.stringify(mistakes));
  return rules;
}

export function correlationNamed(rules: RuleSet, id: string): Correlation {
  const found = rules.correlations.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no correlation ${id}`);
  return found;
}
