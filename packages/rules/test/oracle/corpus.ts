// The rules and events that two independent engines and ours are held to. Everything is drawn from fixed seeds.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ACTION_SYMBOLS, DECISION_SYMBOLS, RESULT_STATUS_SYMBOLS } from '@cairn/event';
import { parseAllDocuments, stringify } from 'yaml';
import type { RuleEvent } from '../../src/index.ts';
import { type Random, randomOf } from './random.ts';

export const EVENTS = 10_000;
const CORRELATED_EVENTS = 3_000;
const GENERATED = 180;

/** Text fields that the corpus fills. */
export const TEXTS = [
  ...['tool_name', 'service', 'method', 'agent_id', 'error_message', 'error_code', 'task', 'environment'],
  ...['client_name', 'client_version', 'session_id', 'user_id', 'source_ip', 'auth_method', 'gateway_id'],
  ...['gateway_version', 'agent_version', 'policy_engine', 'permission_profile', 'approval_id'],
  ...['permission_profile_version', 'protocol_version'],
] as const;
export const NUMBERS = [
  'latency_ms',
  'upstream_ms',
  'response_size',
  'parameters_size',
  'step',
  'attempt',
] as const;
const ENUMS = {
  decision: DECISION_SYMBOLS,
  action: ACTION_SYMBOLS,
  result_status: RESULT_STATUS_SYMBOLS,
} as const;

const WORDS = [
  ...[
    'delete',
    'Invoice',
    'send_mail',
    'read file',
    'C:\\Temp\\a.exe',
    '10.1.2.3',
    '192.168.7.9',
    'fd00::17',
  ],
  ...[
    '100%',
    'a_b',
    "it's",
    'star*',
    'who?',
    'back\\slash',
    'Über',
    '-enc',
    '/enc',
    'x'.repeat(40),
    '42',
    '007',
  ],
  ...[
    'prod',
    'staging',
    'tools/call',
    'memory',
    'filesystem',
    'ENOENT: no such file',
    'dGVzdA==',
    '[brackets]',
  ],
];

/** All detections of the corpus, as text. */
export function detectionRules(): string {
  return `${mappedRules()}\n---\n${generatedRules()}`;
}

/** Mapped rules of SigmaHQ, as text. */
function mappedRules(): string {
  return readFileSync(join(import.meta.dirname, 'sigmahq.yml'), 'utf8');
}

/** Rules drawn at random over every modifier that the other engines have as well, as text. */
function generatedRules(): string {
  const random = randomOf(20_261_125);
  return Array.from({ length: GENERATED }, (_, index) => stringify(generatedRule(random, index))).join(
    '---\n',
  );
}

function generatedRule(random: Random, index: number): object {
  const names = ['alpha', 'beta', 'sel_one', 'sel_two', '_hidden'].slice(0, 1 + random.below(5));
  const selections = Object.fromEntries(names.map((name) => [name, selection(random)]));
  return {
    title: `Generated ${index}`,
    id: idText(1, index),
    logsource: { product: 'cairn' },
    detection: { ...selections, condition: condition(random, names, 0) },
  };
}

function selection(random: Random): object {
  if (random.chance(0.15)) return [fields(random), fields(random)];
  return fields(random);
}

function fields(random: Random): object {
  return Object.fromEntries(Array.from({ length: 1 + random.below(2) }, () => item(random)));
}

function item(random: Random): [string, unknown] {
  const word = (): string => random.pick(WORDS);
  const escaped = (): string => word().replace(/[\\*?]/g, '\\$&');
  const part = (): string => {
    const text = word();
    const from = random.below(Math.max(1, text.length - 3));
    return text.slice(from, from + 2 + random.below(4)).replace(/[\\*?]/g, '\\$&');
  };
  const list = <T>(make: () => T): T | T[] =>
    random.chance(0.5) ? make() : Array.from({ length: 2 + random.below(3) }, make);
  const text = random.pick(TEXTS);
  const cased = random.chance(0.2) ? '|cased' : '';
  switch (random.below(14)) {
    case 0:
      return [text + cased, list(escaped)];
    case 1:
      return [`${text}|contains${cased}`, list(part)];
    case 2:
      return [`${text}|startswith${cased}`, list(() => escaped().slice(0, 4).replace(/\\$/, ''))];
    case 3:
      return [`${text}|endswith${cased}`, list(part)];
    case 4:
      return [`${text}|contains|all`, [part(), part()]];
    case 5:
      return [text, list(() => `${part()}*${random.chance(0.5) ? '?' : ''}${random.chance(0.5) ? '' : '*'}`)];
    case 6:
      return [
        `${text}|re${random.chance(0.5) ? '|i' : ''}`,
        random.pick(['^[a-z]+$', 'in?v', '[0-9]{2,}', 'e(n|l)', '^.{3,9}$']),
      ];
    case 7:
      return [`${text}|cidr`, random.pick(['10.0.0.0/8', '192.168.0.0/16', '10.1.2.0/24', '10.1.2.3/32'])];
    case 8:
      return [`${random.pick(NUMBERS)}|${random.pick(['lt', 'lte', 'gt', 'gte'])}`, random.below(1_000)];
    case 9:
      return [random.pick(NUMBERS), list(() => random.below(20))];
    case 10:
      return [`${text}|exists`, random.chance(0.5)];
    case 11:
      return [text, random.chance(0.5) ? null : [null, escaped()]];
    case 12:
      return [`${text}|fieldref`, random.pick(TEXTS.filter((name) => name !== text))];
    default: {
      const name = random.pick(['decision', 'action', 'result_status'] as const);
      return [name, list(() => random.pick<string>(ENUMS[name]))];
    }
  }
}

function condition(random: Random, names: readonly string[], depth: number): string {
  if (depth > 2 || random.chance(0.3)) {
    const quantity = random.below(8);
    if (quantity === 0) return `${random.pick(['1', 'any', 'all'])} of them`;
    if (quantity === 1 && names.includes('sel_one')) return `${random.pick(['1', 'all'])} of sel_*`;
    return random.pick(names);
  }
  const [left, right] = [condition(random, names, depth + 1), condition(random, names, depth + 1)];
  return random.pick([
    `${left} and ${right}`,
    `${left} or ${right}`,
    `not (${left})`,
    `(${left} or not ${right}) and ${left}`,
  ]);
}

function baseRules() {
  return ACTION_SYMBOLS.slice(1, 5).map((action) => ({
    title: `Action ${action}`,
    id: idText(2, ACTION_SYMBOLS.indexOf(action)),
    name: `did_${action}`,
    logsource: { product: 'cairn' },
    detection: { selection: { action }, condition: 'selection' },
  }));
}

/** Correlations over the rules of `correlatedRules`, as text. */
export function correlatedRules(): string {
  const random = randomOf(7);
  const base = baseRules();
  const names = base.map(({ name }) => name);
  const correlations = Array.from({ length: 60 }, (_, index) => {
    const type = random.pick(['event_count', 'value_count', 'temporal', 'temporal_ordered']);
    const rules = names.slice(random.below(2), 2 + random.below(3));
    const counted = { [random.pick(['gte', 'gt', 'eq', 'lte'])]: 1 + random.below(4) };
    const several = [...new Set([...rules, 'did_update'])];
    return {
      title: `Correlation ${index}`,
      id: idText(3, index),
      correlation: {
        type,
        rules: type.startsWith('temporal') ? several : rules,
        'group-by': random.pick([['agent_id'], ['agent_id', 'service'], ['environment']]),
        timespan: random.pick(['10s', '60s', '5m']),
        ...(type === 'event_count' ? { condition: counted } : {}),
        ...(type === 'value_count' ? { condition: { field: 'tool_name', ...counted } } : {}),
        ...(type === 'temporal' ? { condition: { gte: random.chance(0.4) ? 2 : several.length } } : {}),
      },
    };
  });
  return [...base, ...correlations].map((rule) => stringify(rule)).join('---\n');
}

/** Correlations of correlations, with aliases, and over names with and, or and not; as text. */
export function chainedRules(): string {
  const inner = {
    type: 'event_count',
    rules: ['did_read'],
    'group-by': ['agent_id'],
    timespan: '60s',
    condition: { gte: 3 },
  };
  const correlations = [
    { name: 'many_reads', correlation: inner },
    {
      name: 'reads_then_create',
      correlation: {
        type: 'temporal_ordered',
        rules: ['many_reads', 'did_create'],
        'group-by': ['agent_id'],
        timespan: '30s',
      },
    },
    {
      name: 'either_twice',
      correlation: {
        type: 'event_count',
        rules: ['many_reads', 'reads_then_create'],
        'group-by': ['agent_id'],
        timespan: '5m',
        condition: { gte: 2 },
      },
    },
    {
      name: 'aliased',
      correlation: {
        type: 'temporal',
        rules: ['did_read', 'did_create'],
        aliases: {
          where: { did_read: 'service', did_create: 'environment' },
          who: { did_read: 'agent_id', did_create: 'agent_id' },
        },
        'group-by': ['who'],
        timespan: '10s',
        condition: { gte: 2 },
      },
    },
    {
      name: 'one_of_two',
      correlation: {
        type: 'temporal',
        rules: ['did_read', 'did_create', 'did_update'],
        'group-by': ['agent_id'],
        timespan: '10s',
        condition: 'did_read and (did_create or did_update)',
      },
    },
    {
      name: 'unanswered',
      correlation: {
        type: 'temporal',
        rules: ['did_read', 'did_update'],
        'group-by': ['agent_id', 'service'],
        timespan: '60s',
        condition: 'did_read and not did_update',
      },
    },
  ].map((rule, index) => ({ title: rule.name, id: idText(4, index), ...rule }));
  return [...baseRules(), ...correlations].map((rule) => stringify(rule)).join('---\n');
}

type Filling = Record<string, unknown>;

/**
 * Events that the rules are likely to match: each is made to fit a selection of some rule, with letters in another case here
 * and there, and has random values besides.
 */
export function corpusEvents(rules: string): RuleEvent[] {
  const random = randomOf(4_711);
  const selections = parseAllDocuments(rules).flatMap((document) => {
    const { detection } = (document.toJS() ?? {}) as { detection?: Record<string, unknown> };
    const found = Object.entries(detection ?? {}).filter(([name]) => name !== 'condition');
    return found.length === 0 ? [] : [found.flatMap(([, value]) => (Array.isArray(value) ? value : [value]))];
  });
  return Array.from({ length: EVENTS }, (_, index) => {
    const filling: Filling = {
      event_id: idOf(index),
      org_id: 'acme',
      kind: 'tool_call',
      phase: 'single',
      timestamp: (1_795_600_000 + index) * 1_000_000,
    };
    for (const name of TEXTS) if (random.chance(0.4)) filling[name] = random.pick(WORDS);
    for (const name of NUMBERS)
      if (random.chance(0.4)) filling[name] = random.below(random.pick([20, 1_000]));
    for (const [name, symbols] of Object.entries(ENUMS)) filling[name] = random.pick<string>(symbols);
    for (const chosen of random.pick(selections)) {
      if (typeof chosen === 'object' && chosen !== null && random.chance(0.8))
        fill(filling, chosen as Filling, random);
    }
    return filling as RuleEvent;
  });
}

/**
 * Events in time order, of few agents, services and tools.
 *
 * @param ties several in one second now and then.
 */
export function correlationEvents(ties: boolean): RuleEvent[] {
  const random = randomOf(99);
  let second = 1_795_600_000;
  return Array.from({ length: CORRELATED_EVENTS }, (_, index) => {
    second += random.pick([ties ? 0 : 1, 1, 1, 2, 7, 30]);
    return {
      event_id: idOf(index),
      org_id: 'acme',
      kind: 'tool_call',
      phase: 'single',
      timestamp: second * 1_000_000,
      action: random.pick(ACTION_SYMBOLS.slice(1, 6)),
      agent_id: random.pick(['ada', 'Bob', 'cy', 'dora', 'eve', 'fay']),
      service: random.pick(['memory', 'filesystem', 'mail']),
      environment: random.pick(['prod', 'staging']),
      tool_name: random.pick(['read', 'write', 'Send', 'delete', 'list', 'pay']),
    } as RuleEvent;
  });
}

/** As JSON that other engines read: absent fields, to which the empty text belongs, are left out. */
export function flatJson(event: RuleEvent, index: number): string {
  const time = new Date(Number(event.timestamp) / 1_000).toISOString();
  const present = Object.entries(event).filter(([name, value]) => name !== 'event_id' && value !== '');
  return JSON.stringify({ ...Object.fromEntries(present), n: index, time });
}

const idText = (family: number, index: number): string =>
  `0000000${family}-0000-4000-8000-${String(index).padStart(12, '0')}`;

function idOf(index: number): Uint8Array {
  const id = new Uint8Array(16);
  new DataView(id.buffer).setUint32(12, index);
  return id;
}

function fill(filling: Filling, wanted: Filling, random: Random): void {
  for (const [key, value] of Object.entries(wanted)) {
    const [name = '', ...modifiers] = key.split('|');
    if (name === '' || modifiers.some((modifier) => ['re', 'exists', 'fieldref', 'cased'].includes(modifier)))
      continue;
    const values = Array.isArray(value) ? value : [value];
    const taken = modifiers.includes('all') ? values : [random.pick(values)];
    if ((NUMBERS as readonly string[]).includes(name)) {
      const [number] = taken;
      if (typeof number === 'number') filling[name] = Math.max(0, Math.floor(number) + random.below(3) - 1);
      continue;
    }
    if (name in ENUMS || taken.some((item) => item === null)) continue;
    const texts = taken.map((item) =>
      modifiers.includes('cidr') ? addressIn(String(item), random) : withoutWildcards(String(item), random),
    );
    const before =
      modifiers.includes('endswith') || modifiers.includes('contains') ? random.pick(['', 'a', 'C:\\']) : '';
    const behind =
      modifiers.includes('startswith') || modifiers.includes('contains')
        ? random.pick(['', 'z', '.txt'])
        : '';
    const text = before + texts.join(random.pick(['', ' '])) + behind;
    filling[name] = random.chance(0.3) ? text.toUpperCase() : text;
  }
}

function withoutWildcards(text: string, random: Random): string {
  return text.replace(
    /\\([*?\\])|[*?]/g,
    (wildcard, literal?: string) => literal ?? (wildcard === '?' ? 'q' : random.pick(['', 'mid'])),
  );
}

function addressIn(network: string, random: Random): string {
  const [base = ''] = network.split('/');
  return base.includes(':') || random.chance(0.2) ? base : base.replace(/\.\d+$/, `.${random.below(256)}`);
}
