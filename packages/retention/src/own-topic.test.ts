import { expect, test } from '@jest/globals';
import { ownTopic } from './index.ts';
import { at, policyWith } from './testing/policy-text.ts';

const policy = policyWith(`
classes:
  standard: { regimes: [year] }
  health: { regimes: [year] }
default_class: standard
organisations:
  acme: [{ class: standard, from: 2025-01-01 }, { class: health, from: 2026-07-01 }]
`);
const [STANDARD, HEALTH] = ['audit.events.standard', 'audit.events.health'];

test.each([
  ['the topic of the class that counts today', [STANDARD, HEALTH], '2026-11-25T12:00:00Z', HEALTH],
  ['the topic of the class before', [STANDARD, HEALTH], '2026-06-30T12:00:00Z', STANDARD],
  [
    'the first topic that is read, when that of the class is not',
    [STANDARD],
    '2026-11-25T12:00:00Z',
    STANDARD,
  ],
])('own events of an organisation go to %s', (_what, topics, now, topic) => {
  expect(ownTopic(policy, 'acme', topics, at(now))).toBe(topic);
});
