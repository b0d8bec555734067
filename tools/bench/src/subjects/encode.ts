// What an event costs to encode: our encoder against avsc, which served before it.
import { getHeapStatistics } from 'node:v8';
import {
  AUDIT_EVENT_SCHEMA_ID,
  type AuditEvent,
  completeEvent,
  type EventDraft,
  encodeDatum,
  releasedSchema,
} from '@cairn/event';
import avsc, { type Schema } from 'avsc';
import type { Measured, SubjectOptions } from '../measured.ts';

/** Enough events that none of them stays in a cache of one, few enough that they fit the processor's. */
const EVENTS = 64;
/** Small enough that the young generation is not collected in between, which would hide what was allocated. */
const ALLOCATION_EVENTS = 2_000;

export default async function encode({ quick, say }: SubjectOptions): Promise<Measured> {
  const events = sampleEvents(EVENTS);
  const drafts = sampleDrafts(EVENTS);
  const forAvsc = events.map(withBuffers);
  const type = avsc.Type.forSchema(releasedSchema(AUDIT_EVENT_SCHEMA_ID).schema as unknown as Schema, {
    wrapUnions: 'never',
  });
  const event_id = new Uint8Array(16);
  const contestants: [string, (index: number) => unknown][] = [
    ['encodeDatum', (index) => encodeDatum(events[index]!)],
    ['avsc toBuffer', (index) => type.toBuffer(forAvsc[index])],
    ['completeEvent, what comes before', (index) => completeEvent(drafts[index]!, { event_id })],
  ];

  const [repeats, turns] = quick ? [1, 2_000] : [7, 300_000];
  const figures = contestants.map(() => ({
    events_s: [] as number[],
    heap_bytes: [] as number[],
    buffer_bytes: [] as number[],
  }));
  for (let repeat = -1; repeat < repeats; repeat += 1) {
    say(repeat < 0 ? 'warming up' : `repeat ${repeat + 1} of ${repeats}`);
    for (const [place, [, work]] of contestants.entries()) {
      const seconds = cpuSecondsOf(() => {
        for (let turn = 0; turn < turns; turn += 1) work(turn % EVENTS);
      });
      const allocated = allocatedBy(() => {
        for (let turn = 0; turn < ALLOCATION_EVENTS; turn += 1) work(turn % EVENTS);
      });
      if (repeat < 0) continue;
      figures[place]!.events_s.push(turns / seconds);
      figures[place]!.heap_bytes.push(allocated.heap / ALLOCATION_EVENTS);
      figures[place]!.buffer_bytes.push(allocated.buffers / ALLOCATION_EVENTS);
    }
  }

  const rows = contestants.map(([name], place) => ({ name, figures: figures[place]! }));
  const ratios = rows[0]!.figures.events_s.map((ours, repeat) => ours / rows[1]!.figures.events_s[repeat]!);
  return {
    question: 'How many events a second does one core encode, and what does each leave to the collector?',
    columns: [
      { name: 'events_s', heading: 'events/s of CPU', digits: 0 },
      { name: 'heap_bytes', heading: 'heap bytes/event', digits: 0 },
      { name: 'buffer_bytes', heading: 'buffer bytes/event', digits: 0 },
    ],
    rows,
    claims: [
      {
        what: 'our encoder against avsc, the least ratio of any repeat',
        measured: Math.min(...ratios),
        wanted: 'at least',
        limit: 1,
      },
    ],
    notes: [
      `${EVENTS} events, half of them decisions and half outcomes, ${datumBytes(events)} bytes a datum.`,
      'avsc is given its bytes as Buffers already, and refuses less: it passes numbers and texts that the walk does not.',
      'CPU time is that of the whole process, collector included. What a repeat does last is what the next begins with.',
    ],
  };
}

const datumBytes = (events: readonly AuditEvent[]): number =>
  Math.round(events.reduce((sum, event) => sum + encodeDatum(event).length, 0) / events.length);

/** CPU seconds, of all the process's threads, that this takes. */
export function cpuSecondsOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function allocatedBy(work: () => void): { readonly heap: number; readonly buffers: number } {
  const heap = heapBytes();
  const { arrayBuffers } = process.memoryUsage();
  work();
  return {
    buffers: process.memoryUsage().arrayBuffers - arrayBuffers,
    heap: heapBytes() - heap,
  };
}

/** All that was ever allocated in the heap; the types do not know this figure yet. */
const heapBytes = (): number =>
  (getHeapStatistics() as unknown as { total_allocated_bytes: number }).total_allocated_bytes;

function withBuffers(event: AuditEvent): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(event).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? Buffer.from(value) : value,
    ]),
  );
}

/** Events with a place in a stream. */
export function sampleEvents(count: number): AuditEvent[] {
  return sampleDrafts(count).map((draft, seq) => ({
    ...completeEvent(draft, { event_id: bytesFrom(seq, 16) }),
    epoch: 7,
    seq: 41_000 + seq,
    prev_hash: bytesFrom(seq + 1, 32),
    key_id: '4fd2c0a1',
    signature: null,
  }));
}

/** Decisions and outcomes of tool calls by turns, as a gateway records them: ids, hashes, shape and policy filled in. */
export function sampleDrafts(count: number): EventDraft[] {
  return Array.from({ length: count }, (_, index) => {
    const call = index >> 1;
    const common = {
      org_id: 'acme',
      gateway_id: 'gw-7',
      kind: 'tool_call',
      capture: 'gateway',
      timestamp: 1_790_000_000_000_000 + index * 1_371,
      call_id: bytesFrom(call, 16),
      gateway_version: '1.4.0',
      environment: 'prod',
      agent_id: 'billing-assistant',
      principal_type: 'human',
      user_id: `u_${(call % 97).toString(16).padStart(12, '0')}`,
      auth_method: 'bearer',
      session_id: `s_${(call % 31).toString(16).padStart(12, '0')}`,
      session_source: 'transport',
      step: (call % 40) + 1,
      protocol: 'mcp',
      method: 'tools/call',
      service: 'billing',
      tool_name: 'send_invoice',
      action: 'communicate',
      sensitivity: 'sensitive',
      parameters_hash: bytesFrom(call + 2, 32),
      enforcement: 'enforce',
    } as const;
    if (index % 2 === 0) {
      return {
        ...common,
        phase: 'decision',
        tool_hash: bytesFrom(3, 32),
        parameters_shape: '{"amount":"number","customer":"string","lines":["string"]}',
        parameters_size: 148 + (call % 900),
        result_status: 'pending',
        decision: 'allow',
        policy_engine: 'cedar/4.13.0',
        rules_matched: ['allow-billing'],
      };
    }
    return {
      ...common,
      phase: 'outcome',
      result_status: 'success',
      decision: 'allow',
      response_hash: bytesFrom(call + 4, 32),
      response_size: 900 + (call % 4_000),
      latency_ms: 12 + (call % 300),
      upstream_ms: 11 + (call % 290),
      redactions: [{ rule: 'secret.api-key', count: 1 }],
      trace_id: bytesFrom(call + 5, 16),
      span_id: bytesFrom(call + 6, 8),
    };
  });
}

/** Bytes that differ from seed to seed and are the same in every run. */
function bytesFrom(seed: number, size: number): Uint8Array {
  let state = (seed + 1) * 0x9e3779b1;
  return Uint8Array.from({ length: size }, () => {
    state = Math.imul(state ^ (state >>> 15), 0x85ebca6b) + 0x6d2b79f5;
    return (state >>> 16) & 0xff;
  });
}
