import type { Action, Sensitivity } from '@cairn/event';
import { Random } from './random.ts';

/** A tool as the catalogue of a gateway knows it. */
export interface Tool {
  readonly service: string;
  readonly name: string;
  readonly action: Action;
  readonly sensitivity: Sensitivity;
  readonly dataClasses: readonly string[];
  readonly shapes: readonly string[];
  readonly latencyMs: number;
  readonly hash: Uint8Array;
}

export interface Agent {
  readonly id: string;
  readonly version: string;
  readonly users: readonly string[];
  readonly client: string;
  readonly address: string;
  readonly tools: readonly Tool[];
  /** Milliseconds that it thinks between two calls. */
  readonly pauseMs: number;
}

const SERVICES = [
  'filesystem',
  'github',
  'postgres',
  'slack',
  'jira',
  'browser',
  'memory',
  'payments',
  'crm',
  'calendar',
];
const VERBS: readonly (readonly [string, Action, Sensitivity, number])[] = [
  ['list', 'read', 'internal', 12],
  ['get', 'read', 'internal', 18],
  ['search', 'read', 'internal', 90],
  ['read', 'read', 'sensitive', 15],
  ['create', 'create', 'sensitive', 120],
  ['update', 'update', 'sensitive', 110],
  ['delete', 'delete', 'restricted', 60],
  ['run', 'execute', 'restricted', 900],
  ['send', 'communicate', 'sensitive', 250],
];
const NOUNS = ['file', 'issue', 'row', 'message', 'ticket', 'page', 'entity', 'invoice', 'contact', 'event'];

/** About sixty tools of ten servers, the same for everyone. */
export function toolsOf(seed: number): Tool[] {
  const random = new Random(seed);
  return SERVICES.flatMap((service, at) =>
    VERBS.filter((_, index) => (index * 7 + at) % 3 !== 0).map(([verb, action, sensitivity, latencyMs]) => {
      const noun = NOUNS[at] ?? 'thing';
      return {
        service,
        name: `${verb}_${noun}`,
        action,
        sensitivity,
        dataClasses:
          sensitivity === 'restricted' ? ['personal', service] : sensitivity === 'sensitive' ? [service] : [],
        shapes: [
          `{"${noun}_id":"string"}`,
          `{"${noun}_id":"string","limit":"number"}`,
          `{"filter":{"from":"string","to":"string"},"limit":"number","query":"string"}`,
        ],
        latencyMs,
        hash: random.bytes(32),
      };
    }),
  );
}

/** The agents of one organisation. A few do most of the work; each has its own users and its own few tools. */
export function agentsOf(org: string, count: number, tools: readonly Tool[], seed: number): Agent[] {
  const random = new Random(seed);
  const token = (): string => `t1_${Buffer.from(random.bytes(16)).toString('base64url')}`;
  return Array.from({ length: count }, (_, index) => ({
    id: `${random.pick(['billing', 'support', 'operations', 'research', 'sales', 'release'])}-assistant-${index}`,
    version: `${1 + random.below(3)}.${random.below(10)}.0`,
    users: Array.from({ length: 1 + random.skewed(40) }, token),
    client: random.pick(['desk-client', 'ide-client', `${org}-runner`]),
    address: token(),
    tools: Array.from({ length: 4 + random.below(8) }, () => tools[random.skewed(tools.length)]!),
    pauseMs: random.lognormal(2_000, 2),
  }));
}
