import { SCHEMAS } from '@cairn/event';

/** How the values of a field are compared, and what stands for it over the columns of a row. */
export type SearchField = { readonly name: string; readonly doc: string } & (
  | { readonly kind: 'text' }
  /** One of these. */
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  | { readonly kind: 'number'; readonly nullable: boolean }
  | { readonly kind: 'time' }
  /** UUID. */
  | { readonly kind: 'id'; readonly nullable: boolean }
  /** Hex; the table keeps the first `bytes` of `writtenBytes`. */
  | {
      readonly kind: 'hash';
      readonly nullable: boolean;
      readonly bytes: number;
      readonly writtenBytes: number;
    }
  /** Several texts, of which one is to match. `column` gives them as an array of texts. */
  | { readonly kind: 'list'; readonly column: string }
);

/** Of keyed hashes the table keeps the first 16 bytes (docs/adr/0006). */
const HALVED: ReadonlySet<string> = new Set(['parameters_hash', 'response_hash']);
/** What nobody can search by: bytes that are stored only in part, or sealed. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'prev_hash',
  'signature',
  'parameters_sealed',
  'response_sealed',
  'delegation',
]);
/** Of records, the part that is searched. */
const PART: Readonly<Record<string, string>> = {
  redactions: 'rule',
  parameters_tokens: 'token',
  parameters_kept: 'value',
};
const IDS: ReadonlySet<string> = new Set(['event_id', 'call_id', 'parent_event_id']);
const SIZES: Readonly<Record<string, number>> = { Id16: 16, Hash32: 32, SpanId8: 8 };

interface SchemaField {
  readonly name: string;
  readonly type: unknown;
  readonly doc?: string;
}

/** Facts of the log, which stand beside the event's own fields. */
const FACTS: readonly SearchField[] = [
  { name: 'received_at', kind: 'time', doc: 'When the broker appended it.' },
  { name: 'topic', kind: 'text', doc: 'Topic that it was read from.' },
  { name: 'partition', kind: 'number', nullable: false, doc: 'Partition of the topic.' },
  { name: 'offset', kind: 'number', nullable: false, doc: 'Offset in the partition.' },
  {
    name: 'leaf_hash',
    kind: 'hash',
    nullable: true,
    bytes: 32,
    writtenBytes: 32,
    doc: 'Its leaf in the Merkle log.',
  },
];

/** Everything that can be searched by, under the names of schemas/audit-event.avsc. */
export const FIELDS: ReadonlyMap<string, SearchField> = new Map(
  [...fieldsOf(SCHEMAS.at(-1)?.schema.fields ?? []), ...FACTS].map((field) => [field.name, field]),
);

/** Short names, as the command line has them. */
export const ALIASES: Readonly<Record<string, string>> = {
  org: 'org_id',
  gateway: 'gateway_id',
  agent: 'agent_id',
  user: 'user_id',
  session: 'session_id',
  client: 'client_name',
  server: 'service',
  tool: 'tool_name',
  outcome: 'result_status',
  status: 'result_status',
  error: 'error_message',
  rule: 'rules_matched',
  latency: 'latency_ms',
  time: 'timestamp',
  id: 'event_id',
  call: 'call_id',
  trace: 'trace_id',
};

/** Texts that a word without a field is looked for in. */
export const TEXT_FIELDS = [
  'tool_name',
  'service',
  'method',
  'agent_id',
  'client_name',
  'task',
  'error_message',
] as const;

function fieldsOf(fields: readonly SchemaField[]): SearchField[] {
  return fields.filter(({ name }) => !LEFT_OUT.has(name)).map(fieldOf);
}

function fieldOf({ name, type, doc = '' }: SchemaField): SearchField {
  const nullable = Array.isArray(type);
  const inner = (Array.isArray(type) ? type.find((branch) => branch !== 'null') : type) as
    | string
    | { readonly type: unknown; readonly name?: string; readonly size?: number; readonly symbols?: string[] };
  if (inner === 'string') return { name, doc, kind: 'text' };
  if (inner === 'int' || inner === 'long') return { name, doc, kind: 'number', nullable };
  const size = typeof inner === 'string' ? SIZES[inner] : inner.size;
  if (IDS.has(name)) return { name, doc, kind: 'id', nullable };
  if (size !== undefined) {
    const bytes = HALVED.has(name) ? 16 : size;
    return { name, doc, kind: 'hash', nullable, bytes, writtenBytes: size };
  }
  if (typeof inner === 'object') {
    if (inner.type === 'long') return { name, doc, kind: 'time' };
    if (inner.symbols !== undefined) return { name, doc, kind: 'choice', choices: inner.symbols };
    if (inner.type === 'array') {
      const part = PART[name];
      return {
        name,
        doc,
        kind: 'list',
        column: part === undefined ? name : `tupleElement(${name}, '${part}')`,
      };
    }
  }
  throw new TypeError(`no way to search by ${name} is known`);
}
