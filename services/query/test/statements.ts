import fc from 'fast-check';

const TEXTS = [
  'agent_id',
  'tool_name',
  'service',
  'task',
  'kind',
  'decision',
  'event_id',
  'org_id',
  'error_message',
  'detail',
];
const NUMBERS = ['latency_ms', 'step', 'offset', 'seq', 'partition', 'parameters_size'];

const number = fc.oneof(
  fc.constantFrom(...NUMBERS),
  fc.integer({ min: -2, max: 600 }).map(String),
  fc.constantFrom(
    'length(task)',
    'toInt64(agent_id)',
    'toInt64(task)',
    'latency_ms % step',
    'latency_ms / step',
    'intDivOrZero(offset, partition)',
    'toUnixTimestamp(task)',
    "dateDiff('day', task, timestamp)",
    'toFloat64(detail)',
    'sqrt(latency_ms - 500)',
  ),
);
const text = fc.oneof(
  fc.constantFrom(...TEXTS),
  fc.constantFrom(
    "''",
    "'CANARY'",
    "'org-foreign'",
    "'deny'",
    'lower(task)',
    'substring(task, 2, 3)',
    'toString(toDate(task))',
    'toString(toDateTime(agent_id))',
    "concat(agent_id, '-', task)",
    "extract(task, '[A-Z]+')",
    "replaceAll(task, 'A', agent_id)",
    'arrayStringConcat(data_classes)',
    "formatDateTime(timestamp, '%Y')",
    'data_classes[1]',
  ),
);
const condition: fc.Arbitrary<string> = fc.letrec<{ one: string }>((tie) => ({
  one: fc.oneof(
    { depthSize: 'small' },
    fc.tuple(number, fc.constantFrom('=', '!=', '<', '>', '<=', '>='), number).map((some) => some.join(' ')),
    fc.tuple(text, fc.constantFrom('=', '!=', '<', '>'), text).map((some) => some.join(' ')),
    text.map((one) => `${one} LIKE '%CANARY%'`),
    text.map((one) => `match(${one}, '^(CANARY|x+)+')`),
    text.map((one) => `${one} IN (SELECT task FROM events)`),
    text.map((one) => `${one} IN (SELECT agent_id FROM calls WHERE latency_ms > 3)`),
    number.map((one) => `${one} IS NULL`),
    fc.constantFrom(
      "has(data_classes, 'CANARY')",
      "arrayExists(x -> x = 'CANARY', data_classes)",
      'timestamp > now() - INTERVAL 900 day',
      "timestamp > '2026-01-01'",
    ),
    fc.tuple(tie('one'), fc.constantFrom('AND', 'OR'), tie('one')).map((some) => `(${some.join(' ')})`),
    tie('one').map((one) => `NOT (${one})`),
  ),
})).one;
const aggregate = fc.oneof(
  fc.constantFrom(
    'count()',
    'uniqExact(org_id)',
    'max(task)',
    'min(agent_id)',
    'any(kind)',
    'sum(latency_ms)',
    'topK(3)(task)',
    'groupArray(5)(org_id)',
    'quantile(0.5)(latency_ms)',
    'argMax(task, latency_ms)',
    'max(timestamp)',
    'max(leaf_hash)',
  ),
  text.map((one) => `uniqExact(${one})`),
  number.map((one) => `max(${one})`),
  condition.map((one) => `countIf(${one})`),
);

/** Statements that analysts could write, and that look where they should not. */
export const statements: fc.Arbitrary<string> = fc.oneof(
  fc
    .tuple(fc.array(aggregate, { minLength: 1, maxLength: 3 }), fc.constantFrom('events', 'calls'), condition)
    .map(
      ([what, from, where]) =>
        `SELECT ${what.map((one, at) => `${one} AS c${at}`).join(', ')} FROM ${from} WHERE ${where}`,
    ),
  fc
    .tuple(text, aggregate, condition)
    .map(
      ([by, what, where]) =>
        `SELECT ${by} AS k, ${what} AS v FROM events WHERE ${where} GROUP BY k ORDER BY k, v LIMIT 20`,
    ),
  fc
    .tuple(text, number, condition)
    .map(
      ([one, two, where]) =>
        `SELECT ${one} AS a, ${two} AS b, org_id FROM events WHERE ${where} ORDER BY offset, a, b LIMIT 20`,
    ),
  fc
    .tuple(condition, condition)
    .map(
      ([left, right]) =>
        `SELECT count() FROM events AS e INNER JOIN (SELECT DISTINCT task FROM calls WHERE ${left}) AS f USING (task) WHERE ${right}`,
    ),
  fc
    .tuple(text, condition)
    .map(
      ([one, where]) =>
        `SELECT ${one} AS a FROM events WHERE ${where} UNION ALL SELECT org_id FROM calls ORDER BY a LIMIT 5`,
    ),
  condition.map(
    (where) =>
      `WITH own AS (SELECT task, org_id FROM events WHERE ${where}) SELECT org_id, count() FROM own GROUP BY org_id ORDER BY org_id`,
  ),
);
