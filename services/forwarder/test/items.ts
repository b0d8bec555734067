import { AUDIT_EVENT_SCHEMA_ID, completeEvent, encodeDatum, frame } from '@cairn/event';
import { recordOf } from '@cairn/runtime';
import type { Item } from '../src/destination.ts';
import type { OpenDestination } from '../src/open-destination.ts';
import { readItems } from '../src/read-items.ts';

export const PLACE = { topic: 'audit.events.standard', partition: 0 };

/** The frame of one event that happened just now. */
export function frameOf(seq: number, fields: Parameters<typeof completeEvent>[0] | object = {}): Uint8Array {
  const id = new Uint8Array(16).fill(7);
  new DataView(id.buffer).setUint32(12, seq);
  const event = completeEvent(
    {
      org_id: 'acme',
      gateway_id: 'gw-1',
      kind: 'tool_call',
      phase: 'outcome',
      capture: 'gateway',
      timestamp: Date.now() * 1_000,
      agent_id: 'billing-bot',
      service: 'billing',
      method: 'tools/call',
      tool_name: `tool-${seq}`,
      result_status: 'success',
      decision: 'allow',
      ...fields,
    },
    { event_id: id },
  );
  const datum = encodeDatum({
    ...event,
    epoch: 1,
    seq,
    prev_hash: new Uint8Array(32),
    key_id: '00000000',
    signature: null,
  });
  return frame(AUDIT_EVENT_SCHEMA_ID, datum);
}

/** Items of a destination, made as the forwarder makes them. */
export function itemsFor(
  { format }: Pick<OpenDestination, 'format'>,
  frames: readonly Uint8Array[],
): readonly Item[] {
  const records = frames.map((value, offset) => recordOf(offset, value, Date.now()));
  const { items } = readItems(records, PLACE, { filter: {}, format, releasedIdOf: (id) => id });
  return items;
}
